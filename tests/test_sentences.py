"""What is said to people, and what an error keeps of it."""

import pickle
from datetime import UTC, datetime

import pytest
from django.test import override_settings
from django.utils import translation
from django.utils.translation import gettext_noop as _

from django_jobflow.exceptions import InvalidJob, JobflowError
from django_jobflow.sentences import Sentence, either, moment

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class SentenceTests:
    SENTENCE = Sentence(
        _("expected %(what)s, got %(value)s."), what=Sentence(_("a whole number")), value="'x'"
    )

    def test_error_is_english_and_its_translation_is_asked_for(self):
        error = InvalidJob(self.SENTENCE)

        with translation.override("de"):
            assert "expected a whole number, got 'x'." == str(error)
            assert "erwartet wurde: eine ganze Zahl, nicht 'x'." == error.translated()

    def test_error_survives_the_way_to_another_process(self):
        error = pickle.loads(pickle.dumps(InvalidJob(self.SENTENCE)))

        with translation.override("it"):
            assert "valore atteso: un numero intero, non 'x'." == error.translated()

    @pytest.mark.parametrize(
        ("error", "text"), [(JobflowError("Plain."), "Plain."), (JobflowError(), "")]
    )
    def test_error_for_programmers_stays_as_it_is(self, error, text):
        with translation.override("de"):
            assert text == error.translated()


def test_choice_is_told_with_a_word_before_the_last():
    assert ">" == either([">"])
    assert ">=, <= or >" == either([">=", "<=", ">"])


class MomentTests:
    @override_settings(TIME_ZONE="Europe/Berlin")
    def test_moment_is_in_the_zone_and_the_language(self):
        with translation.override("de"):
            assert "21. November 2026, 13:00:00 CET" == moment(NOON)

    def test_moment_that_is_missing_is_a_question_mark(self):
        assert "?" == moment(None)
