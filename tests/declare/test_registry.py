import pytest

from django_jobflow import InvalidJob, UnknownJob
from django_jobflow.declare import registry
from tests.declare.declaring import declare


class RegisterTests:
    def test_two_jobs_of_one_name_are_refused(self):
        first = declare(name="send")

        with pytest.raises(InvalidJob) as caught:
            declare(class_name="Other", name="send")

        assert (
            "shop.jobs.Other: the name 'send' is taken by shop.jobs.Send. "
            "Set another name on one of them."
        ) == str(caught.value)
        assert first is registry.get("send")

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ({"aliases": ["old"]}, {"aliases": ["old"]}),
            ({"aliases": ["old"]}, {"name": "old"}),
            ({"name": "old"}, {"aliases": ["newer", "old"]}),
        ],
    )
    def test_names_and_aliases_share_one_space(self, first, second):
        declare(**first)

        with pytest.raises(InvalidJob) as caught:
            declare(class_name="Other", **second)

        assert (
            "shop.jobs.Other: the name 'old' is taken by shop.jobs.Send. "
            "Set another name on one of them."
        ) == str(caught.value)

    def test_refused_job_is_known_under_no_name(self):
        declare(name="old")

        with pytest.raises(InvalidJob):
            declare(class_name="Other", aliases=["new", "old"])

        assert [None, None] == [registry.find("shop.jobs.Other"), registry.find("new")]

    def test_class_of_a_reloaded_module_replaces_the_former_one(self):
        declare(aliases=["old"])
        again = declare(aliases=["old"])

        assert [again, again] == [registry.get("shop.jobs.Send"), registry.get("old")]

    def test_alias_leads_to_the_job(self):
        job = declare(aliases=["shop.tasks.send", "send"])

        assert [job] * 2 == [registry.get("shop.tasks.send"), registry.find("send")]


class GetTests:
    def test_unknown_name_is_answered_with_the_nearest_one(self):
        declare()

        with pytest.raises(UnknownJob) as caught:
            registry.get("shop.jobs.Sent")

        assert (
            "No job is registered under 'shop.jobs.Sent'. Did you mean 'shop.jobs.Send'? "
            "Jobs are declared in the jobs.py of an installed app."
        ) == str(caught.value)

    def test_nothing_near_is_no_guess(self):
        with pytest.raises(UnknownJob) as caught:
            registry.get("???")

        assert (
            "No job is registered under '???'. "
            "Jobs are declared in the jobs.py of an installed app."
        ) == str(caught.value)

    def test_unknown_job_is_a_lookup_error(self):
        with pytest.raises(LookupError):
            registry.get("???")

    def test_find_answers_none(self):
        assert registry.find("???") is None


class AllJobsTests:
    def test_each_job_comes_once_in_order_of_the_names(self):
        others = registry.all_jobs()
        second = declare(class_name="B", name="~b", aliases=["~0"])
        first = declare(class_name="A", name="~a")

        assert [*others, first, second] == registry.all_jobs()


class IsolatedTests:
    def test_what_was_declared_inside_is_forgotten(self):
        before = registry.all_jobs()

        with registry.isolated():
            declare(aliases=["old"])

        assert before == registry.all_jobs()
        assert [None, None] == [registry.find("shop.jobs.Send"), registry.find("old")]

    def test_an_error_inside_changes_nothing_of_that(self):
        with pytest.raises(ZeroDivisionError), registry.isolated():
            declare()
            raise ZeroDivisionError

        assert registry.find("shop.jobs.Send") is None
