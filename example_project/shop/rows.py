"""Judging one row: the text of its columns becomes the facts of an order, or an error."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive, make_aware

from shop.catalogue import COUNTRIES, DECIMALS, PRODUCTS

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
LONGEST_TEXT = 200  # characters
DEAREST = Decimal(10_000)  # of any currency, for one piece


class BadRow(ValueError):
    """The row cannot become an order; the message lists everything that is wrong with it."""


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """What a good row says, in Python's types."""

    order_number: str
    placed_at: datetime
    name: str
    email: str
    street: str
    city: str
    postcode: str
    country: str
    sku: str
    quantity: int
    unit_price: Decimal
    currency: str


def read_row(values: Mapping[str, str]) -> OrderFacts:
    """Return the facts that *values*, the row's text by column, stand for.

    Space around a value is ignored, and so is the case of codes.

    Raises:
        BadRow: With a sentence for each column that is not what it has to be.
    """
    facts: dict[str, object] = {}
    problems = []
    for column, read in _READERS.items():
        try:
            facts[column] = read(_required(values[column].strip()))
        except ValueError as error:
            problems.append(f"{column}: {error}.")
    if not problems and (problem := _price_problem(facts)):
        problems.append(problem)
    if problems:
        raise BadRow(" ".join(problems))
    return OrderFacts(**facts)


def validate_one_line(text: str) -> None:
    """Refuse what would be more than one line in a mail's head.

    Raises:
        ValidationError: For the field of a form.
    """
    if CONTROL.search(text):
        raise ValidationError("Write it on one line.")


def _required(text: str) -> str:
    if not text:
        raise ValueError("expected a value, got nothing")
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"expected at most {LONGEST_TEXT} characters, got {len(text)}")
    if CONTROL.search(text):
        raise ValueError(f"expected one line of text, got {text!r}")
    return text


def _text(text: str) -> str:
    return text


def _order_number(text: str) -> str:
    if not re.fullmatch(r"[A-Z0-9-]{1,40}", text):
        raise ValueError(f"expected capital letters, digits and hyphens, got {text!r}")
    return text


def _moment(text: str) -> datetime:
    try:
        moment = parse_datetime(text)
    except ValueError:  # well formed, but no such day
        moment = None
    if moment is None:
        raise ValueError(
            f"expected a date and time such as 2026-08-03T14:05:00+02:00, got {text!r}"
        )
    return make_aware(moment) if is_naive(moment) else moment


def _email(text: str) -> str:
    try:
        validate_email(text)
    except ValidationError:
        raise ValueError(f"expected an address such as name@example.org, got {text!r}") from None
    return text


def _one_of(codes: Mapping[str, object], what: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.upper() not in codes:
            raise ValueError(f"expected {what}, got {text!r}")
        return text.upper()

    return read


def _quantity(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text) or int(text) == 0:
        raise ValueError(f"expected a whole number from 1 to 999, got {text!r}")
    return int(text)


def _price(text: str) -> Decimal:
    if not re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,2})?", text) or not 0 < Decimal(text) <= DEAREST:
        raise ValueError(f"expected an amount such as 12.50, above 0, got {text!r}")
    return Decimal(text)


def _price_problem(facts: Mapping[str, object]) -> str:
    price, currency = facts["unit_price"], facts["currency"]
    if price == price.quantize(Decimal(1).scaleb(-DECIMALS[currency])):
        return ""
    return f"unit_price: expected whole {currency}, got '{price}'."


_READERS: dict[str, Callable[[str], object]] = {
    "order_number": _order_number,
    "placed_at": _moment,
    "name": _text,
    "email": _email,
    "street": _text,
    "city": _text,
    "postcode": _text,
    "country": _one_of(COUNTRIES, f"one of the countries {', '.join(COUNTRIES)}"),
    "sku": _one_of(PRODUCTS, "the SKU of a product that the shop sells"),
    "quantity": _quantity,
    "unit_price": _price,
    "currency": _one_of(DECIMALS, f"one of the currencies {', '.join(DECIMALS)}"),
}
