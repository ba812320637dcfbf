from dataclasses import FrozenInstanceError
from datetime import timedelta

import pytest

from django_jobflow import Definition, Exponential, InvalidJob, Linear
from tests.declare.declaring import declare

BUILT_IN = {
    "name": "shop.jobs.Send",
    "queue": "default",
    "step": "default",
    "steps": ("default",),
    "max_attempts": 1,
    "base_delay": timedelta(seconds=1),
    "backoff": Exponential(1),
    "timeout": timedelta(seconds=30),
    "soft_timeout": None,
    "priority": 0,
    "transactional": False,
    "on_duplicate": "return",
    "retain_succeeded": timedelta(days=7),
}


class DefinitionTests:
    def test_job_without_options_has_the_built_in_ones(self):
        assert Definition(**BUILT_IN) == declare().definition()

    def test_is_a_job_without_former_names(self):
        definition = declare().definition()

        assert ("job", ()) == (definition.kind, definition.aliases)

    def test_is_frozen(self):
        with pytest.raises(FrozenInstanceError):
            declare().definition().queue = "email"

    def test_step_is_the_queue_unless_it_is_named(self):
        assert ("email", ("email",)) == steps(declare(queue="email"))
        assert ("send", ("send",)) == steps(declare(queue="email", step="send"))

    def test_base_delay_makes_the_backoff(self):
        assert Exponential(5) == declare(base_delay=5).definition().backoff

    def test_backoff_wins_over_base_delay(self):
        assert Linear(7) == declare(base_delay=5, backoff=Linear(7)).definition().backoff

    def test_is_made_once(self):
        job = declare()

        assert job.definition() is job.definition()


def steps(job):
    definition = job.definition()
    return definition.step, definition.steps


class PrecedenceTests:
    def test_settings_come_before_what_is_built_in(self, settings):
        settings.JOBFLOW = {
            "DEFAULTS": {"queue": "email", "max_attempts": 3, "timeout": 5, "transactional": True}
        }

        expected = BUILT_IN | {
            "queue": "email",
            "step": "email",
            "steps": ("email",),
            "max_attempts": 3,
            "timeout": timedelta(seconds=5),
            "transactional": True,
        }
        assert Definition(**expected) == declare().definition()

    def test_class_comes_before_settings(self, settings):
        settings.JOBFLOW = {"DEFAULTS": {"queue": "email", "max_attempts": 3}}

        definition = declare(queue="reports", max_attempts=1).definition()

        assert ("reports", 1) == (definition.queue, definition.max_attempts)

    def test_none_of_the_class_comes_before_settings_too(self, settings):
        settings.JOBFLOW = {"DEFAULTS": {"timeout": 5, "retain_succeeded": 0}}

        definition = declare(timeout=None, retain_succeeded=None).definition()

        assert (None, None) == (definition.timeout, definition.retain_succeeded)

    def test_option_of_a_base_comes_before_settings(self, settings):
        settings.JOBFLOW = {"DEFAULTS": {"queue": "email"}}

        base = declare(class_name="Base", abstract=True, queue="reports")

        assert "reports" == declare(base).definition().queue

    def test_own_base_delay_comes_before_a_shared_backoff(self, settings):
        settings.JOBFLOW = {"DEFAULTS": {"backoff": Linear(60)}}

        assert Linear(60) == declare().definition().backoff
        assert Exponential(5) == declare(base_delay=5).definition().backoff

    def test_own_backoff_comes_before_a_shared_base_delay(self, settings):
        settings.JOBFLOW = {"DEFAULTS": {"base_delay": 60}}

        assert Exponential(60) == declare().definition().backoff
        assert Linear(5) == declare(backoff=Linear(5)).definition().backoff

    def test_retention_is_a_setting_of_its_own(self, settings):
        settings.JOBFLOW = {"RETAIN_SUCCEEDED": 60}
        assert timedelta(minutes=1) == declare().definition().retain_succeeded

        settings.JOBFLOW = {"RETAIN_SUCCEEDED": 60, "DEFAULTS": {"retain_succeeded": 0}}
        assert timedelta(0) == declare().definition().retain_succeeded

    def test_definition_follows_the_settings(self, settings):
        job = declare()
        assert 0 == job.definition().priority

        settings.JOBFLOW = {"DEFAULTS": {"priority": 7}}
        assert 7 == job.definition().priority

        settings.JOBFLOW = {}
        assert 0 == job.definition().priority

    def test_wrong_default_is_refused(self, settings):
        settings.JOBFLOW = {"DEFAULTS": {"priority": 101}}

        with pytest.raises(InvalidJob) as caught:
            declare().definition()

        assert (
            "JOBFLOW['DEFAULTS']: expected priority to be a whole number from -100 to 100, "
            "got 101."
        ) == str(caught.value)

    @pytest.mark.parametrize("option", ["name", "aliases", "abstract", "step", "qeue"])
    def test_option_of_one_class_is_no_default(self, settings, option):
        settings.JOBFLOW = {"DEFAULTS": {option: "x"}}

        with pytest.raises(InvalidJob, match=rf"^JOBFLOW\['DEFAULTS'\]: '{option}' is not an"):
            declare().definition()
