"""The sub-commands of ``manage.py jobflow``: a module each, and listed here."""

from django_jobflow.management.subcommands.base import Subcommand
from django_jobflow.management.subcommands.bulk import Bulk
from django_jobflow.management.subcommands.doctor import Doctor
from django_jobflow.management.subcommands.health import Health
from django_jobflow.management.subcommands.importing import Importing
from django_jobflow.management.subcommands.limiting import Limiting
from django_jobflow.management.subcommands.listing import Listing
from django_jobflow.management.subcommands.pausing import Pausing, Resuming
from django_jobflow.management.subcommands.prune import Prune
from django_jobflow.management.subcommands.purge import Purge
from django_jobflow.management.subcommands.show import Show
from django_jobflow.management.subcommands.stats import Stats
from django_jobflow.management.subcommands.stop import Stop
from django_jobflow.management.subcommands.verbs import Cancel, Delete, Retry, RunNow
from django_jobflow.management.subcommands.why import Why
from django_jobflow.management.subcommands.workers import Workers

SUBCOMMANDS: tuple[type[Subcommand], ...] = (
    Stats,
    Listing,
    Show,
    Why,
    Retry,
    Cancel,
    RunNow,
    Delete,
    Bulk,
    Prune,
    Pausing,
    Resuming,
    Limiting,
    Purge,
    Importing,
    Workers,
    Stop,
    Health,
    Doctor,
)

__all__ = ["SUBCOMMANDS", "Subcommand"]
