"""What somebody reads who has not installed an extra."""

import importlib
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_jobflow import executors

MODULES = [
    ("sentry", "sentry_sdk", "sentry-sdk", "sentry"),
    ("opentelemetry", "opentelemetry", "opentelemetry-api", "otel"),
    ("prometheus", "prometheus_client", "prometheus-client", "prometheus"),
]


@pytest.mark.parametrize(("module", "imported", "package", "extra"), MODULES)
def test_missing_package_is_named_with_its_extra(monkeypatch, module, imported, package, extra):
    name = f"django_jobflow.integrations.{module}"
    for each in [name, *(found for found in sys.modules if found.startswith(f"{imported}."))]:
        monkeypatch.delitem(sys.modules, each, raising=False)
    monkeypatch.setitem(sys.modules, imported, None)

    with pytest.raises(ImproperlyConfigured) as caught:
        importlib.import_module(name)

    assert (f'{name} needs the package {package}. Install "django-jobflow[{extra}]".') == str(
        caught.value
    )


def test_missing_dask_is_named_with_its_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "django_jobflow.worker.remote.dask", raising=False)
    monkeypatch.setitem(sys.modules, "distributed", None)

    with pytest.raises(ImproperlyConfigured) as caught:
        executors.dask()

    assert (
        "django_jobflow.executors.dask needs the package distributed. "
        'Install "django-jobflow[dask]".'
    ) == str(caught.value)


def test_cluster_without_an_address_is_refused(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)

    with pytest.raises(ImproperlyConfigured) as caught:
        executors.dask()

    assert (
        "django_jobflow.executors.dask: expected the address of a scheduler in "
        "DASK_SCHEDULER_ADDRESS, got None."
    ) == str(caught.value)
