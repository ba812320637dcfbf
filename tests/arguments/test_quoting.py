import datetime as dt
import html
import json
from decimal import Decimal
from urllib.parse import quote, quote_plus
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_jobflow.arguments import DOTS, encode
from django_jobflow.arguments.quoting import MOST_TEXTS, without

CARD = "4111 1111 1111 1111"
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=8)


def stored(value):
    ((found,), _) = encode("test", [value], {}, max_size=10**6)
    return found


def hidden(text, *values, **options):
    """Return *text* without *values*, which are not stored yet."""
    return without(text, [stored(value) for value in values], **options)


class WithoutTests:
    def test_value_is_dots_wherever_it_stands(self):
        assert f"refused: {DOTS} ({DOTS})" == hidden(f"refused: {CARD} ({CARD})", CARD)

    def test_text_that_quotes_nothing_is_left_alone(self):
        assert "The card was refused." == hidden("The card was refused.", CARD)

    @pytest.mark.parametrize(
        "quoted",
        [
            repr,
            json.dumps,
            lambda value: json.dumps(value, ensure_ascii=False),
            quote,
            quote_plus,
            lambda value: quote(value, safe=""),
            html.escape,
            lambda value: " ".join(value.split()),
        ],
    )
    def test_text_is_found_as_programs_quote_it(self, quoted):
        value = 'o\'pen "sesame"\n/ü'

        text = hidden(f"got {quoted(value)} here", value)

        assert f"got {DOTS} here" == text.replace("'", "").replace('"', "")

    def test_lines_of_a_long_text_are_found_one_by_one(self):
        """A traceback of an ExceptionGroup indents each of them."""
        key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\n-----END KEY-----"
        text = "\n".join(f"  | {line}" for line in key.splitlines())

        assert "\n".join([f"  | {DOTS}"] * 3) == hidden(text, key)

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (4111111111111111, "card 4111111111111111"),
            (12.75, "12.75 EUR"),
            (Decimal("1234.50"), "Decimal('1234.50')"),
            (dt.date(1990, 1, 31), "born 1990-01-31"),
            (dt.date(1990, 1, 31), "datetime.date(1990, 1, 31)"),
            (dt.datetime(1990, 1, 31, 12), "at 1990-01-31 12:00:00"),
            (dt.datetime(1990, 1, 31, 12), "at 1990-01-31T12:00:00"),
            (UUID(int=2**127), "80000000-0000-0000-0000-000000000000"),
            (UUID(int=2**127), "80000000000000000000000000000000"),
            (b"\x00secret\xff", r"b'\x00secret\xff'"),
            (b"\x00secret\xff", "007365637265 74ff".replace(" ", "")),
            (b"\x00secret\xff", "AHNlY3JldP8="),
            (b"sesame, open", "open with sesame, open"),
        ],
    )
    def test_other_values_are_found_by_their_texts(self, value, text):
        found = hidden(text, value)

        assert DOTS in found
        assert not any(digit.isdigit() for digit in found)
        assert "sesame" not in found

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda value: [value],
            lambda value: (value,),
            lambda value: {value},
            lambda value: {"number": value},
            lambda value: {1: value},
            lambda value: {"cards": [{"number": (value,)}]},
        ],
    )
    def test_value_is_found_inside_of_another(self, wrap):
        assert f"number {DOTS} was refused" == hidden(f"number {CARD} was refused", wrap(CARD))

    def test_keys_of_an_object_are_words_of_the_code(self):
        assert "KeyError: 'number'" == hidden("KeyError: 'number'", {"number": CARD})

    def test_short_value_is_found_where_it_stands_alone(self):
        text = "cvc 123 of line 41234, abc123, 123x, 1234; 123-4 (123) /123/ _123_"

        assert (
            f"cvc {DOTS} of line 41234, abc123, 123x, 1234; {DOTS}-4 ({DOTS}) /{DOTS}/ _{DOTS}_"
        ) == hidden(text, "123")

    @pytest.mark.parametrize("value", ["", "12", 7, 99, True, None, "  \n   ", [], {}])
    def test_value_that_is_everywhere_is_not_looked_for(self, value):
        text = "Traceback\n   File 12, line 7, in True: None 99"

        assert text == hidden(text, value)

    def test_longest_is_replaced_first(self):
        assert DOTS == hidden("sesame street", "sesame", "sesame street", "street")

    def test_model_instance_is_found_by_its_key(self):
        values = [{"$jobflow": "model", "value": ["shop.order", 123456, "default"]}]

        text = without("shop.order 123456 in default", values)

        assert f"shop.order {DOTS} in default" == text

    def test_member_of_an_enum_is_a_word_of_the_code(self):
        values = [{"$jobflow": "enum", "value": ["shop.kinds", "Kind", "LARGE"]}]

        assert "Kind.LARGE" == without("Kind.LARGE", values)

    @pytest.mark.parametrize(
        "tampered",
        [
            {"$jobflow": "date", "value": "sesame street"},
            {"$jobflow": ["date"], "value": "sesame street"},
            {"$jobflow": "model", "value": ["sesame street"]},
            {"$jobflow": "no such tag", "value": {"a": ["sesame street"]}},
            {"$jobflow": "date", "other": "sesame street"},
        ],
    )
    def test_object_that_no_enqueue_has_written_is_looked_through(self, tampered):
        assert f"open {DOTS}" == without("open sesame street", [tampered])

    def test_value_nested_without_end_hides_all(self):
        value = []
        for _ in range(5000):
            value = [value]

        assert DOTS == without("anything", [value])

    def test_too_many_values_hide_all(self):
        numbers = [*range(1000, 1000 + MOST_TEXTS)]

        assert "anything" == without("anything", numbers)
        assert DOTS == without("anything", [*numbers, "one more"])

    @given(before=st.text(), secret=TEXTS, after=st.text())
    def test_no_text_shows_a_long_value(self, before, secret, after):
        text = without(f"{before}{secret}{after}", [secret])

        assert not secret.strip() or secret not in text


class CutTests:
    @pytest.mark.parametrize("kept", [3, 4, len(CARD) - 1])
    def test_beginning_of_a_value_at_the_end_is_dots(self, kept):
        assert f"refused: {DOTS}" == hidden(f"refused: {CARD[:kept]}", CARD, cut="end")

    @pytest.mark.parametrize("kept", [3, 4, len(CARD) - 1])
    def test_end_of_a_value_at_the_start_is_dots(self, kept):
        assert f"{DOTS} was refused" == hidden(f"{CARD[-kept:]} was refused", CARD, cut="start")

    def test_edge_that_was_not_cut_is_left_alone(self):
        text = f"{CARD[-4:]} to {CARD[:4]}"

        assert text == hidden(text, CARD)
        assert f"{CARD[-4:]} to {DOTS}" == hidden(text, CARD, cut="end")
        assert f"{DOTS} to {CARD[:4]}" == hidden(text, CARD, cut="start")

    def test_value_as_long_as_the_text_is_no_trouble(self):
        assert DOTS == hidden("x" * 5000, "x" * 100_000, cut="end")
        assert "" == hidden("", CARD, cut="end")
