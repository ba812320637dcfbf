"""The translations: what is found in the code, what is wrong in a catalogue, what is shipped."""

import gettext
import os

import pytest
from babel.messages.catalog import Catalog, Message
from django.utils import translation

from catalogues.building import compile_catalogues
from catalogues.checking import problems, wrong
from catalogues.extracting import Said, as_code, messages_of, said
from catalogues.updating import LANGUAGES, read


@pytest.fixture(scope="module")
def messages():
    return said()


def found_in(code):
    return [(each.id, each.context) for each in messages_of(code, "x.py")]


class ExtractionTests:
    def test_calls_are_found_by_their_names(self):
        code = """
_("One")
gettext_lazy(
    "Two, in "
    "two parts"
)
ngettext("%(n)d job", "%(n)d jobs", n) % {"n": n}
pgettext("verb", "Open")
npgettext("queue", "One", "Many", n)
gettext(variable)
other("Not this")
"""
        assert [
            ("One", None),
            ("Two, in two parts", None),
            (("%(n)d job", "%(n)d jobs"), None),
            ("Open", "verb"),
            (("One", "Many"), "queue"),
        ] == found_in(code)

    def test_tags_of_templates_are_found(self):
        template = """{% load i18n %}
  <p title="it's {{ x|default:_("none") }}">{% translate 'Save' %}</p>
    {% blocktranslate count counter=n trimmed %}
      {{ counter }} job
    {% plural %}
      {{ counter }} jobs
    {% endblocktranslate %}
{% translate "Open" context "verb" as open %}{# {% translate "Not this" %} #}
"""
        assert [
            ("none", None),
            ("Save", None),
            (("%(counter)s job", "%(counter)s jobs"), None),
            ("Open", "verb"),
        ] == found_in(as_code(template, "x.html"))

    def test_package_is_searched(self, messages):
        places = {each.place for each in messages}

        assert {
            "django_jobflow/models/records.py",
            "django_jobflow/templates/jobflow/_timeline.html",
        } <= places


class CheckTests:
    """What is wrong with a translation is said."""

    ONE = ("%(count)d job of {name}",)
    MANY = ("One job", "%(count)d jobs")

    @pytest.mark.parametrize(
        ("ids", "string", "said"),
        [
            (ONE, "%(count)d von {name}", []),
            (ONE, "{name}: %(count)d", []),
            (ONE, "", ["not translated"]),
            (ONE, "%(count)s von {name}", ["other placeholders"]),
            (ONE, "%(zahl)d von {name}", ["other placeholders"]),
            (ONE, "%(count)d", ["other placeholders"]),
            (ONE, " %(count)d von {name}", ["another space at its beginning"]),
            (ONE, "%(count)d von {name}\n", ["another line break at an end"]),
            (MANY, ("Ein Job", "%(count)d Jobs"), []),
            (MANY, ("%(count)d Job", "%(count)d Jobs"), []),
            (MANY, ("Ein Job", ""), ["not translated"]),
            (MANY, ("Ein Job",), ["1 forms instead of 2"]),
            (MANY, ("Ein Job", "%d Jobs"), ["other placeholders"]),
        ],
    )
    def test_string_is_compared_with_what_it_translates(self, ids, string, said):
        message = Message(ids if len(ids) > 1 else ids[0], string)

        assert said == [each.partition(":")[0] for each in wrong(message, ids, 2)]

    def test_guess_is_not_enough(self):
        message = Message("Job", "Auftrag", flags=["fuzzy"])

        assert ["fuzzy: 'Job'"] == list(wrong(message, ("Job",), 2))

    def test_catalogue_is_compared_with_the_package(self):
        catalogue = Catalog(locale="de")
        catalogue.add("Gone", "Fort")
        catalogue.add("Same", "Gleich")
        catalogue.add("Job", "Job")
        wanted = [Said(each, None, "x.py", ()) for each in ("Same", "New", ("Job", "Jobs"))]

        assert [
            "another plural: 'Job'",
            "missing: 'New'",
            "no longer said: 'Gone'",
        ] == problems(catalogue, wanted)


@pytest.mark.parametrize("language", LANGUAGES)
class CatalogueTests:
    def test_everything_is_translated_and_right(self, language, messages):
        assert [] == problems(read(language), messages)

    def test_django_has_the_language(self, language):
        assert translation.check_for_language(language.replace("_", "-").lower())


class CompilationTests:
    SOURCE = """msgid ""
msgstr "Content-Type: text/plain; charset=utf-8\\n"

msgid "Job"
msgstr "{}"
"""

    def test_catalogue_is_compiled_when_it_is_younger(self, tmp_path):
        folder = tmp_path / "django_jobflow" / "locale" / "pl" / "LC_MESSAGES"
        folder.mkdir(parents=True)
        source, target = folder / "django.po", folder / "django.mo"

        def compiled(text, at):
            source.write_text(self.SOURCE.format(text))
            os.utime(source, (at, at))
            assert [target] == compile_catalogues(tmp_path)
            os.utime(target, (20, 20))
            with target.open("rb") as file:
                return gettext.GNUTranslations(file).gettext("Job")

        assert "Zadanie" == compiled("Zadanie", 10)
        assert "Zadanie" == compiled("Another", 20)
        assert "Praca" == compiled("Praca", 30)
