import pytest
from django.core.exceptions import ImproperlyConfigured

from django_jobflow.moving import Move, Source
from tests.app.models import Order
from tests.management.asking import refusal


class Orders(Source):
    name = "orders"
    app = "tests.app"
    label = Order._meta.app_label
    model_name = "Order"


def test_rows_in_another_database_are_refused():
    with pytest.raises(ImproperlyConfigured) as caught:
        Move(Orders(), "other", {})

    assert Order is Orders().model
    assert (
        "orders: expected its rows in the database 'other' of the jobs, got 'default'. A row and "
        "its job change places in one transaction; let its own workers finish what is in another "
        "database."
    ) == str(caught.value)


@pytest.mark.parametrize(
    ("queue", "app"),
    [
        ("django-tasks-db", "django_tasks_db"),
        ("django-q2", "django_q"),
        ("procrastinate", "procrastinate.contrib.django"),
    ],
)
def test_package_that_is_not_installed_is_named(queue, app):
    _, text = refusal("import", queue, "--dry-run")

    assert (
        f"{queue}: expected {app!r} in INSTALLED_APPS. Keep it there until its rows are imported."
    ) == text
