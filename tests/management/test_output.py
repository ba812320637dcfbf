import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management.base import OutputWrapper
from django.core.management.color import no_style

from django_jobflow.arguments import DOTS, HIDDEN
from django_jobflow.management.output import Output, printable


@pytest.fixture
def written():
    return StringIO()


@pytest.fixture
def output(written):
    return Output(OutputWrapper(written), no_style())


class TableTests:
    def test_columns_are_as_wide_as_what_is_in_them(self, output, written):
        output.table(["id", "job"], [[7, "shop.jobs.Send"], [1234, None]], numbers=["id"])

        assert "  ID  JOB\n   7  shop.jobs.Send\n1234  -\n" == written.getvalue()

    def test_facts_without_a_value_are_left_out(self, output, written):
        output.facts([("Job", 7), ("Partition", ""), ("Queue key", None), ("Priority", 0)])

        assert "Job       7\nPriority  0\n" == written.getvalue()

    def test_text_keeps_its_lines(self, output, written):
        output.text("Arguments", "{\n  1\n}")

        assert "\nArguments\n  {\n    1\n  }\n" == written.getvalue()

    def test_who_is_quiet_prints_nothing(self, written):
        output = Output(OutputWrapper(written), no_style(), is_quiet=True)
        output.table(["id"], [[1]])
        output.json({})

        assert "" == written.getvalue()


class PrintableTests:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("größer 値", "größer 値"),
            ("\x1b[2Jgone", "\\x1b[2Jgone"),
            ("a\nb\x07", "a\\nb\\x07"),
            ("\u202eabc", "\\u202eabc"),
        ],
    )
    def test_terminal_is_not_commanded(self, text, expected):
        assert expected == printable(text)

    def test_cells_and_texts_are_printable(self, output, written):
        output.table(["job"], [["\x1b[2J"]])
        output.facts([("Job", "\x1b[2J")])
        output.text("Error", "\x1b[2J")

        assert "\x1b" not in written.getvalue()


class JsonTests:
    def test_moments_spans_and_hidden_values_have_a_form(self, output, written):
        output.json(
            {
                "at": datetime(2026, 11, 21, 12, tzinfo=UTC),
                "timeout": timedelta(seconds=1.5),
                "secret": HIDDEN,
            }
        )

        assert {"at": "2026-11-21T12:00:00+00:00", "timeout": 1.5, "secret": DOTS} == json.loads(
            written.getvalue()
        )

    def test_anything_else_is_a_mistake(self, output):
        with pytest.raises(TypeError, match=r"^<object .*> has no form in JSON\.$"):
            output.json(object())
