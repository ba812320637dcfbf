"""Real workers whose bodies run in yet other processes."""

import socket

import pytest

from tests.process.conftest import start_worker, until

__all__ = ["start_worker", "until"]


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
