from django.test import SimpleTestCase

from shop.order_files import (
    COLUMNS,
    BadOrderFile,
    RawRow,
    check_order_file,
    read_order_file,
)
from shop.tests.orders import GOOD_ROW, make_csv

HEADER = ",".join(COLUMNS)


class ReadOrderFileTests(SimpleTestCase):
    def test_row_is_read_as_it_stands(self):
        content = make_csv({"name": "山田 太郎 "})

        rows = list(read_order_file(content))

        expected = RawRow(line=2, values=GOOD_ROW | {"name": "山田 太郎 "}, surplus="")
        self.assertEqual([expected], rows)

    def test_columns_may_stand_in_any_order_and_case(self):
        content = make_csv({}, columns=COLUMNS[::-1]).replace(b"sku", b" SKU ")

        rows = list(read_order_file(content))

        self.assertEqual([GOOD_ROW], [row.values for row in rows])

    def test_byte_order_mark_is_no_part_of_the_header(self):
        self.assertEqual(1, check_order_file(b"\xef\xbb\xbf" + make_csv({})))

    def test_column_that_nobody_asked_for_is_left_out(self):
        content = f"{HEADER},remarks\n{','.join(GOOD_ROW.values())},in a hurry\n".encode()

        rows = list(read_order_file(content))

        self.assertEqual([RawRow(2, GOOD_ROW, "")], rows)

    def test_short_row_has_empty_values(self):
        content = f"{HEADER}\nA-1,2026-08-03\n".encode()

        (row,) = read_order_file(content)

        expected = dict.fromkeys(COLUMNS, "") | {"order_number": "A-1", "placed_at": "2026-08-03"}
        self.assertEqual(expected, row.values)

    def test_long_row_has_a_surplus(self):
        content = f"{HEADER}\n{','.join(GOOD_ROW.values())},a,b\n".encode()

        (row,) = read_order_file(content)

        self.assertEqual("a,b", row.surplus)

    def test_blank_lines_are_counted_and_left_out(self):
        content = f"\n{HEADER}\n\n,,,\n{','.join(GOOD_ROW.values())}\n\n".encode()

        rows = list(read_order_file(content))

        self.assertEqual([5], [row.line for row in rows])

    def test_line_is_where_a_row_starts(self):
        content = make_csv({"name": "two\nlines"}, {"name": "next"})

        rows = list(read_order_file(content))

        self.assertEqual([2, 4], [row.line for row in rows])

    def test_separators_of_unicode_end_no_row(self):
        content = make_csv({"street": "a\u2028b\x85c"})

        (row,) = read_order_file(content)

        self.assertEqual("a\u2028b\x85c", row.values["street"])


class BadOrderFileTests(SimpleTestCase):
    def assert_refused(self, expected: str, content: bytes) -> None:
        with self.assertRaises(BadOrderFile) as caught:
            check_order_file(content)
        self.assertEqual(expected, str(caught.exception))

    def test_nothing_at_all(self):
        self.assert_refused("The file is empty.", b"")
        self.assert_refused("The file is empty.", b"\xef\xbb\xbf \n\n")

    def test_header_alone(self):
        self.assert_refused("The file has a header and no orders.", f"{HEADER}\n".encode())

    def test_missing_columns_are_named(self):
        content = make_csv({}, columns=COLUMNS[:-2])

        self.assert_refused(
            "The header lacks 'unit_price', 'currency'. It has to name the columns "
            f"{', '.join(COLUMNS)}, separated by commas, and names "
            f"{', '.join(map(repr, COLUMNS[:-2]))}.",
            content,
        )

    def test_other_separator_is_seen_in_the_error(self):
        content = b"order_number;name\nA-1;Zoe\n"

        missing = ", ".join(repr(column) for column in COLUMNS)
        expected = (
            f"The header lacks {missing}. It has to name the columns {', '.join(COLUMNS)}, "
            "separated by commas, and names 'order_number;name'."
        )
        self.assert_refused(expected, content)

    def test_column_named_twice(self):
        self.assert_refused(
            "The header names 'email' more than once.",
            f"{HEADER},Email\n{','.join(GOOD_ROW.values())},x\n".encode(),
        )

    def test_other_encoding_is_named_with_its_line(self):
        content = make_csv({}, {"name": "Zoë"}).decode().encode("latin-1", "replace")

        self.assert_refused(
            "The file is not UTF-8: line 2 holds the byte 0xeb. Save it as UTF-8 and try again.",
            content,
        )

    def test_binary_file(self):
        self.assert_refused(
            "The file is not text: line 2 holds a NUL character.", f"{HEADER}\nA-1,\0\n".encode()
        )

    def test_quotation_mark_left_open(self):
        self.assert_refused(
            "Line 3 is not CSV (unexpected end of data). "
            "Look for a quotation mark that is not closed.",
            make_csv({}) + b'A-2,"never closed\nA-3,x\n',
        )

    def test_endless_value(self):
        self.assert_refused(
            "Line 2 is not CSV (field larger than field limit (131072)). "
            "Look for a quotation mark that is not closed.",
            f"{HEADER}\n{'x' * 140_000}\n".encode(),
        )
