import asyncio
import json
import sysconfig
import traceback

import pytest

from django_jobflow import tracebacks
from django_jobflow.outcomes import ErrorInfo
from django_jobflow.tracebacks import Part, is_own, parts, place_of

STANDARD = sysconfig.get_path("stdlib")


def caught(call, *args):
    try:
        call(*args)
    except Exception as error:
        return error
    raise AssertionError("Nothing was raised.")


class Mailer:
    def send(self, text):
        return json.loads(text)


class OwnTests:
    @pytest.mark.parametrize(
        "path",
        [
            f"{STANDARD}/json/decoder.py",
            "/srv/venv/lib/python3.12/site-packages/requests/api.py",
            "/usr/lib/python3/dist-packages/django/db/models/query.py",
            "/opt/python/lib/python3.13t/asyncio/tasks.py",
            r"C:\venv\Lib\site-packages\requests\api.py",
            "<frozen importlib._bootstrap>",
            tracebacks.__file__,
        ],
    )
    def test_library_is_not_the_projects(self, path):
        assert not is_own(path)

    @pytest.mark.parametrize(
        "path",
        [__file__, "/srv/shop/jobs.py", "/srv/django_jobflow/shop/jobs.py", "jobs.py", "<string>"],
    )
    def test_everything_else_is(self, path):
        assert is_own(path)


class PlaceTests:
    def test_innermost_frame_of_the_project_is_told_without_its_line(self):
        assert f"{__name__}:Mailer.send" == place_of(caught(Mailer().send, "no JSON"))

    def test_error_that_was_not_raised_comes_from_nowhere(self):
        assert "" == place_of(ValueError("no"))

    def test_libraries_alone_are_no_place(self):
        error = caught(json.loads, "no JSON")
        error.__traceback__ = error.__traceback__.tb_next

        assert "" == place_of(error)

    def test_error_is_kept_with_its_place(self):
        assert f"{__name__}:caught" == ErrorInfo.of(caught(json.loads, "no JSON")).place


class PartsTests:
    def test_frames_of_libraries_are_apart(self):
        trace = "".join(traceback.format_exception(caught(Mailer().send, "no JSON")))

        found = parts(trace)

        assert [0, 3, 0] == [part.frames for part in found]
        assert trace.rstrip("\n") == "\n".join(part.text for part in found)
        assert "in send" in found[0].text
        assert "json" in found[1].text
        assert found[2].text.startswith("json.decoder.JSONDecodeError")

    def test_each_of_several_tracebacks_is_cut(self):
        async def body():
            try:
                json.loads("no JSON")
            except ValueError as error:
                raise LookupError("nothing") from error

        trace = "".join(traceback.format_exception(caught(asyncio.run, body())))

        text = "".join(part.text for part in parts(trace) if not part.frames)
        assert "The above exception was the direct cause" in text
        assert 2 == text.count("in body")
        assert STANDARD not in text

    def test_text_that_is_none_is_left_as_it_is(self):
        for text in ("", "what", "  File what", "    deep\n  [and so on]"):
            assert [Part(text)] == parts(text)
