"""What the tables of pauses and limits take."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from django_jobflow.models import Limit, Pause
from tests.factories import LimitFactory, PauseFactory


@pytest.mark.django_db
class ControlTests:
    def assert_refused(self, factory, **values):
        with pytest.raises(IntegrityError), transaction.atomic():
            factory(**values)

    @pytest.mark.parametrize("factory", [PauseFactory, LimitFactory])
    def test_one_row_for_each_thing(self, factory):
        factory(value="email")
        factory(value="Email")
        factory(kind="job", value="email")

        self.assert_refused(factory, value="email")

    @pytest.mark.parametrize("factory", [PauseFactory, LimitFactory])
    def test_unknown_kind_is_refused(self, factory):
        self.assert_refused(factory, kind="q")

    def test_default_partition_can_be_paused(self):
        PauseFactory(kind="partition", value="")

        assert [""] == list(Pause.objects.values_list("value", flat=True))

    @pytest.mark.parametrize(
        "values",
        [
            {"concurrency": 0},
            {"rate": 5},
            {"period": timedelta(minutes=1)},
            {"burst": 2},
            {"rate": 0, "period": timedelta(minutes=1)},
            {"rate": 5, "period": timedelta(minutes=1), "burst": 0},
        ],
    )
    def test_limit_that_means_nothing_is_refused(self, values):
        self.assert_refused(LimitFactory, **values)

    def test_rate_may_have_a_burst(self):
        LimitFactory(rate=5, period=timedelta(minutes=1), burst=1, concurrency=None)
        LimitFactory(value="sms", rate=5, period=timedelta(minutes=1))

        assert 2 == Limit.objects.count()

    def test_rows_say_what_they_are_of(self):
        assert ["queue 'email'", "queue 'email'"] == [str(PauseFactory()), str(LimitFactory())]
