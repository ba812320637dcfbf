from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """A user's app; without migrations, so that the test runner makes its tables."""

    name = "tests.app"
    label = "testapp"
