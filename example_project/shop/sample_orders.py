"""Making up an order file that is like a real one, dirt included; the same seed, the same file."""

import random
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

from shop.catalogue import DECIMALS, PRODUCTS
from shop.order_files import COLUMNS
from shop.sample_places import COUNTRIES, Country

FIRST_DAY = datetime(2026, 8, 3, tzinfo=UTC)
FIRST_NUMBER = 100_000
MAIL_DOMAINS = ("mail.example", "post.example", "example.org", "example.net", "büro.example")
LETTERS = str.maketrans("łŁøØßıđÐ", "lLoOsidD")

Row = list[str]
PLACE = {column: position for position, column in enumerate(COLUMNS)}


def sample_rows(count: int, seed: int) -> list[Row]:
    """Return *count* good orders in the order of their time, and the dirt among them."""
    rng = random.Random(seed)
    rows = _good_rows(rng, count)
    untouched = rng.sample(range(count), count)
    for spoil, values in _BAD:
        for value in values:
            spoil(rng, rows[untouched.pop()], value)
    for blur in _HARMLESS:
        for _ in range(count // 70):
            blur(rng, rows[untouched.pop()])
    for copy in _COPIES:
        for _ in range(5):
            position = untouched.pop()
            rows[position] = [*rows[position]]
            rows.append(copy(rng, rows[position]))
    return _late_copies_among(rng, rows, count)


def _good_rows(rng: random.Random, count: int) -> list[Row]:
    moment, number, rows = FIRST_DAY, FIRST_NUMBER, []
    for _ in range(count):
        moment += timedelta(seconds=rng.randrange(60, 2000))
        number += rng.randrange(1, 9)
        rows.append(_good_row(rng, number, moment))
    return rows


def _good_row(rng: random.Random, number: int, moment: datetime) -> Row:
    country = rng.choice(COUNTRIES)
    name, latin = _person(rng, country)
    city, postcode = rng.choice(country.places)
    product = rng.choice(list(PRODUCTS.values()))
    local = moment.astimezone(timezone(timedelta(hours=country.offset)))
    return [
        f"A-{number}",
        local.isoformat(),
        name,
        _address(rng, latin),
        _numbered(rng, rng.choice(country.streets)),
        city,
        _numbered(rng, postcode),
        country.code,
        product.sku,
        str(rng.choice((1, 1, 1, 1, 2, 2, 3, 4, 6, 12))),
        _price(product.price, country),
        country.currency,
    ]


def _person(rng: random.Random, country: Country) -> tuple[str, str]:
    """Return a name as it is written, and in Latin letters."""
    given, family = (rng.choice(names) for names in country.people)
    if "/" not in given:
        return f"{given} {family}", f"{given} {family}"
    (given, latin_given), (family, latin_family) = given.split("/"), family.split("/")
    return f"{family} {given}", f"{latin_given} {latin_family}"


def _address(rng: random.Random, latin: str) -> str:
    plain = unicodedata.normalize("NFKD", latin.translate(LETTERS))
    words = re.findall(r"[a-z]+", plain.encode("ascii", "ignore").decode().lower())
    user = rng.choice((".", "_", "")).join(words) + rng.choice(("", str(rng.randrange(60, 99))))
    return f"{user}@{rng.choice(MAIL_DOMAINS)}"


def _numbered(rng: random.Random, pattern: str) -> str:
    return re.sub("#", lambda _: str(rng.randrange(1, 10)), pattern)


def _price(euro: Decimal, country: Country) -> str:
    return f"{euro * country.rate:.{DECIMALS[country.currency]}f}"


def _write(column: str) -> Callable[[random.Random, Row, str], None]:
    """Return what writes a wrong value into *column*; ``{}`` is the value that was there."""

    def spoil(rng: random.Random, row: Row, value: str) -> None:
        row[PLACE[column]] = value.format(row[PLACE[column]])

    return spoil


def _empty(rng: random.Random, row: Row, column: str) -> None:
    row[PLACE[column]] = ""


def _cut(rng: random.Random, row: Row, length: str) -> None:
    del row[int(length) :]


def _split_street(rng: random.Random, row: Row, annexe: str) -> None:
    """Make the row one value longer, as a comma does that nobody quoted."""
    row.insert(PLACE["street"] + 1, annexe)


def _pad(rng: random.Random, row: Row) -> None:
    position = rng.randrange(len(COLUMNS))
    row[position] = rng.choice((" {}", "{}  ", "  {} ", "\t{}", "\u00a0{}")).format(row[position])


def _lower(rng: random.Random, row: Row) -> None:
    position = PLACE[rng.choice(("country", "sku", "currency"))]
    row[position] = row[position].lower()


def _same_again(rng: random.Random, row: Row) -> Row:
    return [*row]


def _same_number(rng: random.Random, row: Row) -> Row:
    """Return another order that was given the number of *row*."""
    number = int(row[0].removeprefix("A-"))
    return _good_row(rng, number, datetime.fromisoformat(row[PLACE["placed_at"]]))


def _late_copies_among(rng: random.Random, rows: list[Row], count: int) -> list[Row]:
    """Move the copies at the end of *rows* to somewhere behind what they are copies of."""
    rows, copies = rows[:count], rows[count:]
    for copy in copies:
        first = next(at for at, row in enumerate(rows) if row[0].strip() == copy[0])
        rows.insert(rng.randrange(first + 1, len(rows) + 1), copy)
    return rows


_BAD: tuple[tuple[Callable[[random.Random, Row, str], None], tuple[str, ...]], ...] = (
    (
        _write("email"),
        (
            "{}@",
            "@mail.example",
            "zoe.mail.example",
            "jan peters@post.example",
            "info@mail,example",
            "müller@mail.example",
            "n/a",
            "<{}>",
            "{}; sales@post.example",
        ),
    ),
    (_empty, ("email", "city", "postcode", "name", "sku", "quantity", "unit_price", "street")),
    (_write("unit_price"), ("-{}", "0.00", "12,50", "1.299,00", "free", "EUR {}", "9.999")),
    (_write("quantity"), ("0", "-1", "2.5", "two", "1000")),
    (_write("placed_at"), ("2026-02-30T10:00:00+01:00", "14/08/2026", "yesterday")),
    (_write("sku"), ("TEA-XXX-100", "{}-OLD", "0")),
    (_write("country"), ("Deutschland", "XX")),
    (_write("currency"), ("BTC", "€")),
    (_write("name"), ("{}\nc/o neighbours",)),
    (_cut, ("7", "3", "11")),
    (_split_street, (" Hinterhaus", " c/o Bäckerei Groß")),
)

_HARMLESS = (_pad, _lower)

_COPIES = (_same_again, _same_number)
