"""The executor of a Dask cluster, which closes its client with itself."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

import distributed.cfexecutor
from dask import config
from django.core.exceptions import ImproperlyConfigured

CONNECTING = 10  # seconds in which a scheduler has to answer
CLOSING = 1  # seconds in which it is told that its client goes

library: Any = distributed  # whose functions say nothing of their types


class DaskExecutor(distributed.cfexecutor.ClientExecutor):  # type: ignore[misc,unused-ignore]
    """Runs calls on the workers of a cluster.

    Args:
        client: Of its own: nobody else uses it.
    """

    def __init__(self, client: Any) -> None:
        library.cfexecutor.ClientExecutor.__init__(self, client, pure=False)
        self.client = client

    def shutdown(self, wait: bool = True, **options: Any) -> None:
        """Cancel what runs unless it is to be awaited, and close the client."""
        library.cfexecutor.ClientExecutor.shutdown(self, wait=wait)
        self.client.close(timeout=CLOSING)


def connect() -> Executor:
    """Return an executor on the cluster whose scheduler the environment names.

    Raises:
        ImproperlyConfigured: It names none: Dask would start a cluster in this process.
        OSError: The scheduler does not answer.
    """
    address = config.get("scheduler-address", None)
    if not address:
        raise ImproperlyConfigured(
            "django_jobflow.executors.dask: expected the address of a scheduler in "
            "DASK_SCHEDULER_ADDRESS, got None."
        )
    client = library.Client(address, timeout=CONNECTING, set_as_default=False)
    executor: Executor = DaskExecutor(client)
    return executor
