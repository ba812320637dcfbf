"""What the sides have in common whose jobs wait in Redis or RabbitMQ, not in the database."""

from __future__ import annotations

import os

from benchmarks.peers.base import PlainSide, execute
from benchmarks.project import bodies

REDIS = os.environ.get("BENCHMARK_REDIS")
RABBITMQ = os.environ.get("BENCHMARK_AMQP")
BROKER = REDIS or RABBITMQ or ""


class BrokerSide(PlainSide):
    """A side whose database is only what its jobs write to."""

    def set_up(self) -> None:
        execute(bodies.TABLE)
        self.clear()
