from datetime import timedelta

from django_jobflow.health import Fact, Finding, Health, Limits, Seen

LIMITS = Limits(max_wait=timedelta(seconds=60), max_beat=timedelta(seconds=30), min_workers=2)
FACTS = (
    Fact("workers", "1 alive", Finding.TOO_FEW_WORKERS),
    Fact("overdue", "no job"),
    Fact("waiting", "the oldest job for 61 s", Finding.JOB_WAITS),
)
SEEN = Seen(
    alive=1,
    silent=3,
    youngest_beat=0.12345,
    oldest_beat=2.0,
    waits={"a": 61.0, "b": 0.5, "c": 2.0},
    paused={"a": 3600.0, "d": 10.0},
    unserved={"b": None, "c": tuple(map(str, range(101)))},
    overdue=None,
    lapsed=1.5,
)


def queue(*, waiting=None, paused=None, served=False, partitions=()):
    return {
        "oldest_waiting": waiting,
        "oldest_paused": paused,
        "served": served,
        "unserved_partitions": list(partitions),
    }


class HealthTests:
    def test_healthy_is_what_has_no_finding(self):
        assert Health(database="default", limits=LIMITS, facts=FACTS[1:2]).is_healthy
        assert not Health(database="default", limits=LIMITS, facts=FACTS).is_healthy

    def test_summary_has_numbers_and_no_names(self):
        health = Health(database="default", limits=LIMITS, facts=FACTS, seen=SEEN)

        assert health.summary() == {
            "healthy": False,
            "findings": ["too_few_workers", "job_waits"],
            "workers": {"alive": 1, "silent": 3, "youngest_beat": 0.123, "oldest_beat": 2.0},
            "oldest_waiting": 61.0,
            "oldest_paused": 3600.0,
            "oldest_overdue": None,
            "oldest_lapsed": 1.5,
            "limits": {"max_wait": 60.0, "max_beat": 30.0, "min_workers": 2},
        }

    def test_report_has_names_on_top(self):
        health = Health(database="other", limits=LIMITS, facts=FACTS, seen=SEEN)

        assert health.report() == health.summary() | {
            "database": "other",
            "error": None,
            "queues": {
                "a": queue(waiting=61.0, paused=3600.0, served=True),
                "b": queue(waiting=0.5),
                "c": queue(waiting=2.0, partitions=[str(number) for number in range(100)]),
                "d": queue(paused=10.0, served=None),
            },
        }

    def test_keys_are_there_when_the_database_is_not(self):
        facts = (Fact("database", "gone", Finding.DATABASE_UNREACHABLE),)
        health = Health(database="default", limits=LIMITS, facts=facts, error="refused")

        assert health.report() == {
            "healthy": False,
            "findings": ["database_unreachable"],
            "workers": None,
            "oldest_waiting": None,
            "oldest_paused": None,
            "oldest_overdue": None,
            "oldest_lapsed": None,
            "limits": {"max_wait": 60.0, "max_beat": 30.0, "min_workers": 2},
            "database": "default",
            "error": "refused",
            "queues": None,
        }
