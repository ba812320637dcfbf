"""A database for the demo to begin with: migrated, and with nothing in it but its operator."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection

from django_jobflow.models import JobRecord, SucceededJob
from shop.models import Order, OrderFile

USER = PASSWORD = "admin"  # for the demo's own database, which nobody else can reach


@contextmanager
def only_one_here() -> Iterator[None]:
    """Refuse to go on while another demo uses the same folder.

    Raises:
        CommandError: One does.
    """
    with (settings.VAR_DIR / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(f"Another demo is running in {settings.VAR_DIR}.") from None
        yield


def make_fresh(*, flush: bool) -> None:
    """Migrate an empty database; the demo's own file is begun anew, any other has to be empty.

    Raises:
        CommandError: The database that DATABASE_URL names has something in it.
    """
    own_file = Path(connection.settings_dict["NAME"]) == settings.SQLITE_FILE
    if own_file and connection.vendor == "sqlite":
        connection.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{settings.SQLITE_FILE}{suffix}").unlink(missing_ok=True)
        empty_folder(settings.MEDIA_ROOT / "orders", "*.csv")
    make_ready()
    if flush:
        call_command("flush", interactive=False, verbosity=0)
        make_ready()
    if any(model.objects.exists() for model in (OrderFile, Order, JobRecord, SucceededJob)):
        raise CommandError(
            "The database that DATABASE_URL names is not empty. Name another one, or add "
            "--flush to have everything in it deleted."
        )


def make_ready() -> None:
    """Migrate the database and see that its operator can log in."""
    call_command("migrate", interactive=False, verbosity=0)
    users = get_user_model().objects
    if not users.filter(username=USER).exists():
        users.create_superuser(USER, "admin@tea.example", PASSWORD)


def empty_folder(folder: Path, pattern: str) -> None:
    """Delete the files in *folder* that are called like *pattern*."""
    for file in folder.glob(pattern):
        file.unlink()
