"""Reading an order file: a CSV with one order a row.

The file as a whole is judged here: its encoding, its header, its quoting. What a single row
says is judged in ``rows.py``, by the row's own job.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

COLUMNS = (
    "order_number",
    "placed_at",
    "name",
    "email",
    "street",
    "city",
    "postcode",
    "country",
    "sku",
    "quantity",
    "unit_price",
    "currency",
)


class BadOrderFile(ValueError):
    """The file cannot be read as a list of orders; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it stands in the file.

    Attributes:
        line: Where it starts, from 1; the header is line 1.
        values: Text by column; empty for what the row leaves out.
        surplus: What it holds beyond the last column, joined by commas.
    """

    line: int
    values: dict[str, str]
    surplus: str


def check_order_file(content: bytes) -> int:
    """Read the whole of *content* and return its number of orders.

    Raises:
        BadOrderFile: The file is not UTF-8, lacks a column or has no orders, or its quoting
            is broken.
    """
    count = sum(1 for _ in read_order_file(content))
    if not count:
        raise BadOrderFile("The file has a header and no orders.")
    return count


def read_order_file(content: bytes) -> Iterator[RawRow]:
    """Yield the rows of *content* in their order; blank lines are left out.

    Raises:
        BadOrderFile: As soon as the reading comes to what makes the file unreadable.
    """
    records = _records(_decoded(content))
    _, header = next(records, (1, []))
    columns = _columns(header)
    for line, fields in records:
        values = dict(zip(columns, fields, strict=False))
        yield RawRow(
            line=line,
            values={column: values.get(column, "") for column in COLUMNS},
            surplus=",".join(fields[len(columns) :]),
        )


def _decoded(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadOrderFile(
            f"The file is not UTF-8: line {line} holds the byte 0x{content[error.start]:02x}. "
            f"Save it as UTF-8 and try again."
        ) from error
    if not text.strip():
        raise BadOrderFile("The file is empty.")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise BadOrderFile(f"The file is not text: line {line} holds a NUL character.")
    return text


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line where each record starts, and its fields."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadOrderFile(
            f"Line {line} is not CSV ({error}). Look for a quotation mark that is not closed."
        ) from error


def _columns(header: list[str]) -> list[str]:
    columns = [name.strip().lower() for name in header]
    if missing := [column for column in COLUMNS if column not in columns]:
        raise BadOrderFile(
            f"The header lacks {_listed(missing)}. It has to name the columns "
            f"{', '.join(COLUMNS)}, separated by commas, and names {_listed(header)}."
        )
    if twice := [column for column in COLUMNS if columns.count(column) > 1]:
        raise BadOrderFile(f"The header names {_listed(twice)} more than once.")
    return columns


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name[:60]) for name in names[:20])
