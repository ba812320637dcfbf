from datetime import datetime, timedelta, timezone
from decimal import Decimal

from django.test import SimpleTestCase

from shop.rows import BadRow, OrderFacts, read_row
from shop.tests.orders import GOOD_ROW

FACTS = OrderFacts(
    order_number="A-1",
    placed_at=datetime(2026, 8, 3, 14, 5, tzinfo=timezone(timedelta(hours=2))),
    name="Zoë Müller",
    email="zoe.mueller@mail.example",
    street="Goethestraße 5",
    city="Köln",
    postcode="50667",
    country="DE",
    sku="TEA-ASM-100",
    quantity=2,
    unit_price=Decimal("7.90"),
    currency="EUR",
)


class ReadRowTests(SimpleTestCase):
    def test_good_row_becomes_facts(self):
        self.assertEqual(FACTS, read_row(GOOD_ROW))

    def test_space_around_values_is_ignored(self):
        padded = {column: f" \u00a0{value}\t" for column, value in GOOD_ROW.items()}

        self.assertEqual(FACTS, read_row(padded))

    def test_case_of_codes_is_ignored(self):
        lower = {column: GOOD_ROW[column].lower() for column in ("country", "sku", "currency")}

        self.assertEqual(FACTS, read_row(GOOD_ROW | lower))

    def test_names_of_all_the_world_are_good(self):
        for name in ("Łukasz Żółć", "山田　太郎", "Nguyễn Thị Ánh", "O'Connor-Brontë"):
            with self.subTest(name=name):
                self.assertEqual(name, read_row(GOOD_ROW | {"name": name}).name)

    def test_moment_without_offset_is_in_the_time_of_the_shop(self):
        facts = read_row(GOOD_ROW | {"placed_at": "2026-08-03 14:05"})

        self.assertEqual(timedelta(0), facts.placed_at.utcoffset())

    def test_all_problems_are_told_at_once(self):
        with self.assertRaises(BadRow) as caught:
            read_row(GOOD_ROW | {"email": " ", "quantity": "two"})

        self.assertEqual(
            "email: expected a value, got nothing. "
            "quantity: expected a whole number from 1 to 999, got 'two'.",
            str(caught.exception),
        )


class BadRowTests(SimpleTestCase):
    def assert_refused(self, expected: str, **values: str) -> None:
        for column, value in values.items():
            with self.subTest(value=value), self.assertRaises(BadRow) as caught:
                read_row(GOOD_ROW | {column: value})
            self.assertEqual(f"{column}: {expected}, got {value!r}.", str(caught.exception))

    def test_order_number(self):
        for number in ("A 1", "a-1", "A-1\u0661", "A" * 41):
            self.assert_refused(
                "expected capital letters, digits and hyphens", order_number=number
            )

    def test_email(self):
        for email in ("zoe", "zoe@", "@mail.example", "a b@mail.example", "a@b@c.example", "a@b;"):
            self.assert_refused("expected an address such as name@example.org", email=email)

    def test_quantity(self):
        for quantity in ("0", "-1", "2.5", "1000", "1e2", "\u0663", "NaN"):
            self.assert_refused("expected a whole number from 1 to 999", quantity=quantity)

    def test_price(self):
        for price in ("0", "0.00", "-1", "12,50", "1.299,00", "9.999", "NaN", "1e3", "10000.01"):
            self.assert_refused("expected an amount such as 12.50, above 0", unit_price=price)

    def test_moment(self):
        for moment in ("yesterday", "14/08/2026", "2026-02-30T10:00:00Z", "08:15"):
            self.assert_refused(
                "expected a date and time such as 2026-08-03T14:05:00+02:00", placed_at=moment
            )

    def test_codes(self):
        self.assert_refused("expected the SKU of a product that the shop sells", sku="COFFEE")
        self.assert_refused(
            "expected one of the countries DE, ES, FR, GB, IT, JP, NL, PL, SE, US", country="XX"
        )
        self.assert_refused(
            "expected one of the currencies EUR, GBP, JPY, PLN, SEK, USD", currency="BTC"
        )

    def test_text_of_two_lines(self):
        self.assert_refused("expected one line of text", name="Zoë\nBcc: all@mail.example")

    def test_endless_text(self):
        with self.assertRaises(BadRow) as caught:
            read_row(GOOD_ROW | {"city": "x" * 201})

        self.assertEqual("city: expected at most 200 characters, got 201.", str(caught.exception))

    def test_parts_of_a_yen(self):
        with self.assertRaises(BadRow) as caught:
            read_row(GOOD_ROW | {"currency": "JPY", "unit_price": "7.90"})

        self.assertEqual("unit_price: expected whole JPY, got '7.90'.", str(caught.exception))
