"""Write the order file that the example comes with."""

import csv
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand

from shop.order_files import COLUMNS
from shop.sample_orders import sample_rows


class Command(BaseCommand):
    """Parse the options, write the file."""

    help = "Write a file of made-up orders, dirt included. The same seed gives the same file."

    def add_arguments(self, parser):
        """Add how many, which, and where to."""
        parser.add_argument("--orders", type=int, default=2100, help="at least 200; default 2100")
        parser.add_argument("--seed", type=int, default=2026, help="default 2026")
        parser.add_argument(
            "--output", type=Path, default=settings.BASE_DIR / "data" / "orders.csv"
        )

    def handle(self, *, orders, seed, output, **options):
        """Write the file."""
        rows = sample_rows(max(orders, 200), seed)
        with output.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(rows)
        self.stdout.write(f"{output}: {len(rows):,} orders.")
