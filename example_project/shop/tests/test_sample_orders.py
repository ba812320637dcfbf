from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from django.conf import settings
from django.core.management import call_command
from django.test import SimpleTestCase

from shop.order_files import check_order_file, read_order_file
from shop.rows import BadRow, read_row

ORDERS = settings.BASE_DIR / "data" / "orders.csv"


class SampleOrdersTests(SimpleTestCase):
    def test_file_is_what_the_command_writes(self):
        with TemporaryDirectory() as folder:
            output = Path(folder, "orders.csv")
            call_command("make_orders", output=output, stdout=StringIO())

            self.assertEqual(ORDERS.read_bytes(), output.read_bytes())

    def test_file_holds_good_orders_and_dirt(self):
        content = ORDERS.read_bytes()
        numbers, bad, surplus = [], 0, 0
        for row in read_order_file(content):
            surplus += bool(row.surplus)
            try:
                numbers.append(read_row(row.values).order_number)
            except BadRow:
                bad += 1

        copies = len(numbers) - len(set(numbers))
        self.assertEqual(
            (2110, 2055, 10, 45, 2),
            (check_order_file(content), len(set(numbers)), copies, bad, surplus),
        )
