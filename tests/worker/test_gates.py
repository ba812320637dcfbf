"""What a worker process knows of jobs that are held back, without a database."""

from types import SimpleNamespace

import pytest

from django_jobflow.engines.controlling import Controls
from django_jobflow.quotas import Quota
from django_jobflow.worker import gates
from django_jobflow.worker.gates import DEAF, Gates
from tests.app import jobs

NAME = jobs.add.definition().name


class HearTests:
    @pytest.fixture
    def clock(self, monkeypatch):
        still = SimpleNamespace(now=1000.0)
        monkeypatch.setattr(gates, "time", SimpleNamespace(monotonic=lambda: still.now))
        return still

    @pytest.fixture
    def known(self, clock):
        known = Gates()
        known.learn(Controls(limits={("job", NAME): Quota(2)}), waits=False)
        return known

    def looks(self, known):
        return [gate.has_parked for gate in known.asked()]

    def test_news_are_a_reason_to_look(self, known):
        assert [False] == self.looks(known)

        known.hear()

        assert [True] == self.looks(known)

    def test_news_soon_after_others_are_heard_a_little_later(self, known, clock):
        known.hear()
        known._maybe_parked.clear()  # the look has found nothing
        known.hear()

        assert [False] == self.looks(known)
        assert DEAF == pytest.approx(known.opens_in())

        clock.now += 2 * DEAF
        assert [True] == self.looks(known)
        assert known.opens_in() is None
