import pytest

from django_jobflow.declare import registry


@pytest.fixture(autouse=True)
def isolated_registry():
    with registry.isolated():
        yield
