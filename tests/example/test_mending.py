"""A bad row, as an operator deals with it: mended and retried in the admin, and then paid."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.example.project import Project, order_file, row, server_module

LOG_IN = """
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
user = get_user_model().objects.filter(is_superuser=True).first()
user = user or get_user_model().objects.create_superuser("admin", "admin@tea.example", "admin")
client = Client()
client.force_login(user)
"""

MEND_AND_RETRY = f"""{LOG_IN}
from django_jobflow.models import FailedJob
from shop.models import ImportedRow
row = ImportedRow.objects.get()
job = FailedJob.objects.get()
values = row.values() | {{"email": "zoe@mail.example", "surplus": ""}}
mended = client.post(reverse("admin:shop_importedrow_change", args=[row.pk]), values)
retried = client.post(reverse("admin:jobflow_failedjob_retry", args=[job.pk]))
answer = [mended.status_code, retried.status_code, row.job_id == job.pk]
"""

READ_BOOKS = """
from django_jobflow.models import JobRecord, SucceededJob
from shop.models import ImportedRow, Order
answer = {
    "order": list(Order.objects.values_list("number", "email", "state", "charge_id")),
    "problem": ImportedRow.objects.get().problem,
    "jobs": JobRecord.objects.count(),
    "succeeded": list(SucceededJob.objects.order_by("pk").values_list("name", flat=True)),
}
"""


@pytest.fixture
def services() -> Iterator[dict[str, str]]:
    """The gateway and the mail server, as environment variables that name them."""
    gateway = server_module("gateway").Gateway()
    mail = server_module("mail").MailServer()
    with gateway, mail:
        yield {"GATEWAY_URL": gateway.url, "SMTP_PORT": str(mail.port)}


def test_mended_row_is_paid_after_its_job_was_retried(
    project: Project, services: dict[str, str], tmp_path: Path
) -> None:
    def done(*arguments: str) -> None:
        run = project.manage(*arguments, **services)
        assert run.returncode == 0, run.stdout + run.stderr

    file = order_file(tmp_path / "orders.csv", [row("A-1", email="zoe@")])
    done("migrate")
    done("import_orders", str(file))
    done("runjobs", "--drain")

    before: dict[str, Any] = project.ask(READ_BOOKS)
    answer = project.ask(MEND_AND_RETRY)
    done("runjobs", "--drain")
    after: dict[str, Any] = project.ask(READ_BOOKS)

    assert {
        "order": [],
        "problem": "email: expected an address such as name@example.org, got 'zoe@'.",
        "jobs": 1,
        "succeeded": ["shop.jobs.ImportOrders"],
    } == before
    assert [302, 302, True] == answer
    assert {
        "order": [["A-1", "zoe@mail.example", "PAID", "ch_000001"]],
        "problem": "",
        "jobs": 0,
        "succeeded": [
            "shop.jobs.ImportOrders",
            "shop.jobs.ProcessOrder",
            "shop.jobs.SendReceipt",
        ],
    } == after
