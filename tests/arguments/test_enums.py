import enum
import http
import importlib
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from django_jobflow.arguments import decode, encode
from django_jobflow.exceptions import ArgumentError
from tests.arguments.samples import Access, Colour, Level, Mode, Parcel, Priority, Size

NAME = "shop.jobs.Ship"
SAMPLES = "tests.arguments.samples"
PATIENCE = 90  # seconds


class Removed(enum.Enum):
    A = 1


class Open(enum.IntFlag, boundary=enum.KEEP):
    A = 1


class Guess(enum.Enum):
    A = 1

    @classmethod
    def _missing_(cls, value):
        unnamed = object.__new__(cls)
        unnamed._name_, unnamed._value_ = "B", value
        return unnamed


def stored(*path):
    return {"$jobflow": "enum", "value": list(path)}


def round_trip(value):
    ((actual,), _) = decode(*encode(NAME, [value], {}, max_size=1000))
    return actual


def encode_error(value):
    with pytest.raises(ArgumentError) as caught:
        encode(NAME, [value], {}, max_size=1000)
    return str(caught.value)


def decode_error(*path):
    with pytest.raises(ArgumentError) as caught:
        decode([stored(*path)], {}, name=NAME)
    return str(caught.value)


class EncodeEnumTests:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (Colour.RED, stored(SAMPLES, "Colour", "RED")),
            (Colour.CRIMSON, stored(SAMPLES, "Colour", "RED")),
            (Size.SMALL, stored(SAMPLES, "Size", "SMALL")),
            (Parcel.Status.SENT, stored(SAMPLES, "Parcel.Status", "SENT")),
            (Priority.URGENT, stored(SAMPLES, "Priority", "URGENT")),
            (Access.EDIT, stored(SAMPLES, "Access", "EDIT")),
            (Access.READ | Access.ADMIN, stored(SAMPLES, "Access", ["READ", "ADMIN"])),
            (Mode(0), stored(SAMPLES, "Mode", [])),
            (http.HTTPStatus.OK, stored("http", "HTTPStatus", "OK")),
        ],
    )
    def test_member_is_stored_by_path_and_name(self, value, expected):
        assert ([expected], {}) == encode(NAME, [value], {}, max_size=1000)
        assert value is round_trip(value)

    def test_member_as_a_key_stays_a_member(self):
        actual = round_trip({Level.LOW: 1, Size.SMALL: 2})

        assert [Level.LOW, Size.SMALL] == list(actual)
        assert [Level, Size] == [type(key) for key in actual]

    def test_enum_inside_a_function_is_refused(self):
        class Local(enum.Enum):
            A = 1

        path = f"{__name__}.{Local.__qualname__}"
        expected = (
            f"{NAME}: expected arguments that can be stored as JSON, got <Local.A: 1> at "
            f"args[0], which cannot be found again as {path}. "
            f"Declare the Enum at the top of a module or of a class."
        )
        assert expected == encode_error(Local.A)

    def test_enum_that_another_has_replaced_is_refused(self, monkeypatch):
        monkeypatch.setattr(sys.modules[__name__], "Removed", enum.Enum("Removed", "A"))

        assert "which cannot be found again as" in encode_error(REMOVED)

    def test_enum_of_the_main_script_is_refused(self, monkeypatch):
        script = enum.Enum("Script", "A", module="__main__")
        monkeypatch.setattr(sys.modules["__main__"], "Script", script, raising=False)

        assert "which cannot be found again as __main__.Script" in encode_error(script.A)

    @pytest.mark.parametrize(
        ("value", "why"),
        [
            (Open(9), "is no named member of Open"),
            (Guess("x"), "is no named member of Guess"),
        ],
    )
    def test_value_that_has_no_name_is_refused(self, value, why):
        assert encode_error(value).endswith(f" at args[0], which {why}.")


REMOVED = Removed.A


class DecodeEnumTests:
    def test_unnamed_class_member_is_gone(self):
        assert (
            f"{NAME}: expected stored arguments that can be read back, got 'BLUE' at args[0], "
            f"which is not a member of {SAMPLES}.Colour any more."
        ) == decode_error(SAMPLES, "Colour", "BLUE")

    @pytest.mark.parametrize(
        "path",
        ["Colours", "Parcel", "Parcel.Status.SENT", "models", "enum", "Colour.__class__", ""],
    )
    def test_path_that_is_no_enum_is_refused(self, path):
        assert (
            f"{NAME}: expected stored arguments that can be read back, got "
            f"'{SAMPLES}.{path}' at args[0], which is not an Enum any more."
        ) == decode_error(SAMPLES, path, "SENT")

    @pytest.mark.parametrize("module", ["jobflow_stranger", "jobflow_shop.colours"])
    def test_module_is_not_imported(self, shop, module):
        """Whether an installed app contains it or not: what it runs would be the row's choice."""
        assert (
            f"{NAME}: expected stored arguments that can be read back, got an Enum of "
            f"{module!r} at args[0], which is not imported here. Import it in the module that "
            f"declares the job."
        ) == decode_error(module, "Colour", "RED")
        assert module not in sys.modules

    def test_module_that_is_barred_is_not_imported(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "jobflow_barred", None)

        assert "which is not imported here" in decode_error("jobflow_barred", "Colour", "RED")

    def test_module_that_another_thread_is_importing_is_waited_for(self, shop, tmp_path):
        importing, went_on = threading.Event(), threading.Event()
        sys.jobflow_events = importing, went_on
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(importlib.import_module, "jobflow_shop.slow")
            importing.wait(PATIENCE)
            second = threads.submit(decode, [stored("jobflow_shop.slow", "Colour", "RED")], {})
            with pytest.raises(TimeoutError):
                second.result(0.1)
            went_on.set()
            ((actual,), _) = second.result(PATIENCE)
            first.result(PATIENCE)
        del sys.jobflow_events

        assert "red" == actual.value

    @pytest.mark.parametrize(
        "path",
        [
            (SAMPLES, "Colour", ["RED"]),
            (SAMPLES, "Colour", 1),
            (SAMPLES, "Access", [1]),
            (SAMPLES, "Access", [["READ"]]),
            (SAMPLES, 5, "RED"),
            (SAMPLES, "Colour"),
            (5, "Colour", "RED"),
            ([], "Colour", "RED"),
            ("", "Colour", "RED"),
            (".colours", "Colour", "RED"),
        ],
    )
    def test_malformed_path_is_refused(self, path):
        assert decode_error(*path).startswith(
            f"{NAME}: expected stored arguments that can be read back, got "
        )


@pytest.fixture
def shop(tmp_path, monkeypatch, settings):
    """An installed app with modules that nobody has imported, and one beside it."""
    (tmp_path / "jobflow_stranger.py").write_text("raise AssertionError('imported')")
    package = tmp_path / "jobflow_shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "colours.py").write_text("raise AssertionError('imported')")
    (package / "slow.py").write_text(
        textwrap.dedent("""
            import enum, sys

            importing, went_on = sys.jobflow_events
            importing.set()
            went_on.wait(90)

            class Colour(enum.Enum):
                RED = "red"
        """)
    )
    monkeypatch.syspath_prepend(tmp_path)
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "jobflow_shop"]
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "jobflow_shop"]:
        del sys.modules[name]
