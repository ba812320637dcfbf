"""Leaving the shop open: its page, the admin, and a worker, until somebody says stop."""

import os
import socket
import sys
import time
from contextlib import ExitStack, suppress

from django.conf import settings
from django.core.management import CommandError
from rich.console import Console

from shop.demo.database import PASSWORD, USER
from shop.demo.processes import MANAGE, Process
from shop.demo.services import Services

PORT = 8000  # of the page, when nothing else is asked for


def serve(services: Services, *, port: int, console: Console) -> None:
    """Serve the page and run a worker, until a signal ends it.

    Raises:
        CommandError: One of the two ended by itself.
    """
    address = f"127.0.0.1:{free_port(port)}"
    page = Process(
        "runserver",
        address,
        "--noreload",
        environment=services.environment | {"DEBUG": "1"},
        log=settings.VAR_DIR / "page.log",
    )
    with ExitStack() as stack:
        processes = [stack.enter_context(process) for process in (page, services.worker())]
        wait_for(page, address)
        tell_where(console, address)
        console.print("Ctrl-C stops it.")
        while not any(process.has_ended for process in processes):
            time.sleep(0.3)
        words = "\n".join(process.last_words() for process in processes if process.has_ended)
        raise CommandError(f"A process of the shop has ended by itself:\n{words}")


def wait_for(page: Process, address: str) -> None:
    """Return once *page* listens, or has ended."""
    host, port = address.split(":")
    while not page.has_ended:
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        time.sleep(0.1)


def free_port(wanted: int) -> int:
    """Return *wanted*, or any free port when something listens there."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", wanted))
        except OSError:
            listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def tell_where(console: Console, address: str) -> None:
    """Print where to look, and as whom."""
    console.print(f"The shop:        http://{address}/")
    console.print(f"Its failed jobs: http://{address}/admin/jobflow/failedjob/")
    console.print(f"Log in as {USER} with the password {PASSWORD}.")


def tell_how(console: Console) -> None:
    """Print the one command that opens the shop again."""
    command = f"{_short(sys.executable)} {_short(str(MANAGE))} serve"
    console.print("To look at it in the admin, and to mend and retry what failed:", style="bold")
    console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
    tell_where(console, f"127.0.0.1:{PORT}")


def _short(path: str) -> str:
    """Return *path* as seen from here when that is shorter."""
    return min(path, os.path.relpath(path), key=len)
