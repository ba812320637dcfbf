"""Orders and rows for the tests, each as good as a keyword does not make it bad."""

import csv
import io

from django.core.files.base import ContentFile

from shop.models import ImportedRow, Order, OrderFile
from shop.order_files import COLUMNS

GOOD_ROW = {
    "order_number": "A-1",
    "placed_at": "2026-08-03T14:05:00+02:00",
    "name": "Zoë Müller",
    "email": "zoe.mueller@mail.example",
    "street": "Goethestraße 5",
    "city": "Köln",
    "postcode": "50667",
    "country": "DE",
    "sku": "TEA-ASM-100",
    "quantity": "2",
    "unit_price": "7.90",
    "currency": "EUR",
}


def make_csv(*rows: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> bytes:
    """Return an order file of *rows*, each a good row but for what it says."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([(GOOD_ROW | row)[column] for column in columns] for row in rows)
    return text.getvalue().encode()


def make_file(content: bytes = b"", name: str = "orders.csv", row_count: int = 3) -> OrderFile:
    """Store an order file."""
    return OrderFile.objects.create(
        name=name, content=ContentFile(content, name), row_count=row_count
    )


def make_row(file: OrderFile | None = None, line: int = 2, **values: str) -> ImportedRow:
    """Store a row of an order file."""
    file = file or make_file()
    return ImportedRow.objects.create(file=file, line=line, **(GOOD_ROW | values))


def make_order(**values: object) -> Order:
    """Store an order that waits for its payment."""
    facts = {key: value for key, value in GOOD_ROW.items() if key != "order_number"}
    return Order.objects.create(**({"number": "A-1"} | facts | values))
