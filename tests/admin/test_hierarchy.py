from datetime import UTC, datetime

from django.test import TestCase, override_settings

from tests.admin.site import list_url, superuser
from tests.factories import FailedJobFactory, JobRecordFactory, SucceededJobFactory


class HierarchyTests(TestCase):
    """Links come from the first and the last row; a day between them may be empty."""

    @classmethod
    def setUpTestData(cls):
        cls.user = superuser()

    def setUp(self):
        self.client.force_login(self.user)

    def hierarchy(self, model="failedjob", **chosen):
        return self.client.get(list_url(model, **chosen)).context["cl"].hierarchy

    def choices(self, model="failedjob", **chosen):
        return {choice.title: choice.link for choice in self.hierarchy(model, **chosen).choices}

    def failed_at(self, *moments):
        for moment in moments:
            FailedJobFactory(now=datetime(*moment, tzinfo=UTC))

    def test_empty_list_has_none(self):
        response = self.client.get(list_url("failedjob"))

        assert not response.context["cl"].hierarchy.show
        self.assertNotContains(response, "toplinks")

    def test_rows_of_several_years_offer_years(self):
        self.failed_at((2024, 3, 1), (2026, 11, 21))

        expected = {
            "2024": "?finished_at__year=2024",
            "2025": "?finished_at__year=2025",
            "2026": "?finished_at__year=2026",
        }
        assert expected == self.choices()
        assert self.hierarchy().back is None

    def test_year_offers_its_months_between_the_first_and_the_last_row(self):
        self.failed_at((2024, 11, 30), (2025, 2, 1))

        expected = {
            "November 2024": "?finished_at__month=11&finished_at__year=2024",
            "December 2024": "?finished_at__month=12&finished_at__year=2024",
        }
        assert expected == self.choices(finished_at__year=2024)
        assert self.hierarchy(finished_at__year=2024).back.link == "?"

    def test_rows_of_one_month_offer_days(self):
        self.failed_at((2026, 11, 20), (2026, 11, 22))

        expected = {
            f"November {day}": f"?finished_at__day={day}&finished_at__month=11"
            "&finished_at__year=2026"
            for day in (20, 21, 22)
        }
        assert expected == self.choices()

    def test_month_leads_back_to_its_year(self):
        self.failed_at((2026, 11, 20))

        back = self.hierarchy(finished_at__year=2026, finished_at__month=11).back

        assert ("2026", "?finished_at__year=2026") == (back.title, back.link)

    def test_day_has_no_link_and_leads_back_to_its_month(self):
        self.failed_at((2026, 11, 20))
        day = {"finished_at__year": 2026, "finished_at__month": 11, "finished_at__day": 20}

        assert {"November 20": ""} == self.choices(**day)
        assert "November 2026" == self.hierarchy(**day).back.title

    def test_day_is_that_of_the_current_time_zone(self):
        self.failed_at((2026, 11, 20, 23, 30))

        with override_settings(TIME_ZONE="Asia/Tokyo"):
            assert ["November 21"] == list(self.choices())

    def test_chosen_day_keeps_its_rows_and_other_filters_stay(self):
        self.failed_at((2026, 11, 20), (2026, 11, 21, 23, 59), (2026, 11, 22))
        day = {"finished_at__year": 2026, "finished_at__month": 11, "finished_at__day": 21}

        found = self.client.get(list_url("failedjob", queue="default", **day)).context["cl"]

        assert [21] == [record.finished_at.day for record in found.queryset]
        assert "queue=default" in found.hierarchy.back.link

    def test_live_jobs_have_the_days_of_the_first_and_last_number(self):
        JobRecordFactory(now=datetime(2026, 11, 22, 1, tzinfo=UTC))
        JobRecordFactory(now=datetime(2026, 11, 21, 1, tzinfo=UTC))

        assert ["November 21", "November 22"] == list(self.choices("jobrecord"))

    def test_succeeded_jobs_have_the_days_of_their_success(self):
        SucceededJobFactory(now=datetime(2026, 11, 21, tzinfo=UTC))

        assert ["November 21"] == list(self.choices("succeededjob"))

    def test_what_is_no_date_leads_to_the_whole_list(self):
        self.failed_at((2026, 11, 20))
        for wrong in (
            {"finished_at__year": "MMXXVI"},
            {"finished_at__year": 9999},
            {"finished_at__year": 10**6},
            {"finished_at__year": 2026, "finished_at__month": 13},
            {"finished_at__month": "November"},
        ):
            with self.subTest(wrong=wrong):
                response = self.client.get(list_url("failedjob", **wrong))

                self.assertRedirects(response, list_url("failedjob", e=1))
