"""Who acts at a command line, as the audit has it."""

from __future__ import annotations

import getpass
import os
import socket

from django_jobflow.audit import Actor
from django_jobflow.models import AuditVia


def operator(name: str | None = None) -> Actor:
    """Return who types: *name* if it is said, or else the account.

    Who has become another account by ``sudo`` has the name of before; the account stands in the
    origin.
    """
    account = account_name()
    known = name or os.environ.get("SUDO_USER") or account
    return Actor(known, AuditVia.COMMAND, f"{account}@{socket.gethostname()}")


def account_name() -> str:
    """Return the account of this process; its number if it has no name, as in a container."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return str(os.getuid())
