"""What every page and action of the admin asks of large tables.

A page or an action that is new has no request in ``benchmarks.desk.requests`` until somebody
writes one, and fails here until then.
"""

import pytest
from django.db import connection
from django.test import TestCase
from django.test.utils import CaptureQueriesContext

from benchmarks.desk.measuring import is_frame
from benchmarks.desk.requests import ELSEWHERE, REQUESTS, Sample, names, requests
from django_jobflow.models import Batch, BulkOperation, JobRecord, SavedView
from django_jobflow.states import JobState
from tests.admin.site import superuser
from tests.factories import FailureGroupFactory, LimitFactory, PauseFactory, WorkerFactory
from tests.plans import fill, noting, problems_of, run

BUDGET = 40  # statements of one request
# It compares the schema with the models, and asks the catalogue of the database for each table.
BUDGETS = {"health of the database": 1000}


def test_every_address_of_the_admin_is_asked_for():
    asked = {*REQUESTS, *ELSEWHERE}

    assert (set(), set()) == (names() - asked, asked - names())


@pytest.mark.skipif(
    connection.vendor == "mysql",
    reason="InnoDB gathers its statistics when it likes, and ANALYZE would commit the rows.",
)
class ScaleTests(TestCase):
    """No page and no action reads a large table to its end, or sorts it."""

    @classmethod
    def setUpTestData(cls):
        fill()
        cls.user = superuser()
        WorkerFactory.create_batch(3)
        PauseFactory(value="mail")
        LimitFactory(value="mail")
        Batch.objects.create(description="Measured")
        BulkOperation.objects.create(action="retry", search="state:failed", via="admin")
        SavedView.objects.create(
            name="Measured", search="state:failed", owner=str(cls.user.pk), is_shared=True
        )
        group = FailureGroupFactory()
        failed = JobRecord.objects.filter(state=JobState.FAILED).values_list("pk", flat=True)
        JobRecord.objects.filter(pk__in=list(failed[:100])).update(fingerprint=group.pk)
        run("ANALYZE jobflow_job")

    def test_no_request_scans_or_sorts_what_is_large(self):
        self.client.force_login(self.user)
        for request in requests(Sample()):
            with self.subTest(request=request.title):
                with noting() as noted, CaptureQueriesContext(connection) as captured:
                    answer = (
                        self.client.get(request.path)
                        if request.data is None
                        else self.client.post(request.path, request.data)
                    )

                assert answer.status_code in {200, 302}
                sent = [each["sql"] for each in captured if not is_frame(each["sql"])]
                assert len(sent) <= BUDGETS.get(request.title, BUDGET), sent
                assert [] == problems_of(noted)
