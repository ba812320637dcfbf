"""The shop as the demo left it, open to be looked at and worked on."""

from django.conf import settings
from django.core.management.base import BaseCommand
from rich.console import Console

from shop.demo import database, serving
from shop.demo.processes import ended_by_signals
from shop.demo.services import Services


class Command(BaseCommand):
    """Parse the port, then serve."""

    help = "Serve the shop and its admin, with a worker, the payment gateway and the mail server."
    requires_migrations_checks = False

    def add_arguments(self, parser):
        """Add the port."""
        parser.add_argument("--port", type=int, default=serving.PORT, help="of the page")

    def handle(self, *, port, **options):
        """Serve until a signal."""
        try:
            with ended_by_signals(), database.only_one_here():
                database.make_ready()
                with Services(outbox=settings.VAR_DIR / "outbox") as services:
                    serving.serve(services, port=port, console=Console())
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")
