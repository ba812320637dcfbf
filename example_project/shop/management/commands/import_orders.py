"""Take an order file in, as the page does."""

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from shop.imports import start_import
from shop.order_files import BadOrderFile


class Command(BaseCommand):
    """Parse the path, start the import."""

    help = "Keep a CSV of orders and enqueue the job that imports it."

    def add_arguments(self, parser):
        """Add the path."""
        parser.add_argument("file", type=Path)

    def handle(self, *, file, **options):
        """Start the import."""
        try:
            order_file = start_import(file.name, file.read_bytes())
        except (OSError, BadOrderFile) as error:
            raise CommandError(f"{file}: {error}") from error
        self.stdout.write(f"{order_file}: {order_file.row_count:,} orders to import.")
