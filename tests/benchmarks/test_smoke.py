"""Each suite of our own runs on tiny numbers, and gives a figure for every row that it has.

The figures themselves are nobody's business here.
"""

import os
from contextlib import closing

import pytest

from benchmarks import run, sides
from benchmarks.client import Client
from benchmarks.figures import Results
from benchmarks.options import Options
from benchmarks.servers import Servers
from benchmarks.stand import Stand
from benchmarks.suites import draining
from tests import databases

TINY = Options(
    processes=1,
    runs=1,
    seconds=0.05,
    most=100,
    latencies=5,
    rest=0.1,
    idle=0.1,
    bulk=100,
    large=200,
    rows=50,
    minutes=0.01,
    warm_up=1,
)
DRAIN = ["noop", "noop, jobs", "noop, start to end"]
LATENCY = ["call to start, p50", "call to start, p99"]
KEYS = ["noop", "keyed", "hot", "hot-10ms", "noop, beside 100 on a queue at its limit of 40"]
MEASURES = {
    "ours": {
        "drain": DRAIN,
        "latency": LATENCY,
        "enqueue": ["in bulk", "one by one"],
        "keys": KEYS,
        "real": [
            f"insert{kind}{ends}"
            for kind in ("", "-raw")
            for ends in ("", "-grouped", "-transactional")
        ],
        "disk": [f"insert-raw{ends}" for ends in ("", "-grouped", "-transactional")],
    },
    "ours-preparing": {"turns": ["insert, of ours in turn", "insert-raw, of ours in turn"]},
    "ours-driver": {"turns": ["insert-raw, of ours in turn"]},
    "ours-sqlite": {
        "drain": DRAIN,
        "latency": LATENCY,
        "keys": KEYS,
    },
}


@pytest.fixture
def servers(tmp_path, monkeypatch):
    """The tests' own server, which the benchmark is told of as of any other."""
    if databases.kind() == "postgresql" and databases.needs_own_server():
        data = databases.server_directory() / "data"
        monkeypatch.setenv("DATABASE_URL", f"postgresql://postgres@/postgres?host={data}")
    with closing(Servers(tmp_path)) as servers:
        yield servers


@pytest.fixture
def measure(servers):
    def measure(side, *suites):
        results = Results()
        run.measure_side(sides.BY_NAME[side], list(suites), servers, TINY, results)
        return results

    return measure


@pytest.mark.skipif(databases.kind() != "sqlite", reason="It is about SQLite.")
def test_suites_on_sqlite_give_every_figure(measure):
    results = measure("ours-sqlite", "drain", "latency", "keys")

    assert [] == [figure for figure in results.figures if figure.missing or not figure.runs]
    for suite, measures in MEASURES["ours-sqlite"].items():
        assert set(measures) <= {each.measure for each in results.figures if each.suite == suite}


@pytest.mark.skipif(databases.kind() != "postgresql", reason="It is about PostgreSQL.")
@pytest.mark.parametrize("suite", ["drain", "keys", "real", "disk", "enqueue", "latency"])
def test_suite_on_postgresql_gives_every_figure(measure, suite):
    results = measure("ours", suite)

    assert [] == [figure for figure in results.figures if figure.missing or not figure.runs]
    assert set(MEASURES["ours"][suite]) <= {each.measure for each in results.figures}


@pytest.mark.skipif(databases.kind() != "postgresql", reason="It is about PostgreSQL.")
@pytest.mark.parametrize("side", ["ours-preparing", "ours-driver"])
def test_side_for_bodies_in_autocommit_gives_every_figure(measure, monkeypatch, side):
    monkeypatch.setattr(draining, "RIVAL", "ours")  # the peers are not installed here

    results = measure(side, "turns")

    assert [] == [figure for figure in results.figures if figure.missing or not figure.runs]
    assert MEASURES[side]["turns"] == [each.measure for each in results.figures]


@pytest.mark.skipif(databases.kind() != "postgresql", reason="It is about PostgreSQL.")
def test_slower_disk_is_there_for_the_sessions_of_a_side_and_is_taken_away(servers):
    with Stand(sides.BY_NAME["ours"], servers, TINY) as stand:
        with draining.slower_flushes(stand):
            slow = stand.execute("SHOW commit_delay") + stand.execute("SHOW commit_siblings")
        after = stand.execute("SHOW commit_delay") + stand.execute("SHOW commit_siblings")

    assert [("1000",), ("0",)] == slow
    assert [("0",), ("5",)] == after


@pytest.mark.skipif(databases.kind() != "postgresql", reason="It is about PostgreSQL.")
def test_figures_of_full_tables_are_there(measure):
    results = measure("ours", "flat")

    expected = ["empty tables", "50 waiting", "50 scheduled, 50 failed, 250 succeeded"]
    assert expected == [figure.measure for figure in results.figures]
    assert [] == [figure for figure in results.figures if figure.missing]


@pytest.mark.skipif(databases.kind() != "postgresql", reason="It is about PostgreSQL.")
def test_figures_beside_what_may_not_run_are_there(measure):
    results = measure("ours", "beside")

    assert [] == [figure for figure in results.figures if figure.missing]
    assert [
        "nothing else",
        "50 on a queue at its limit of 40",
        "50 parked for a job at its limit of 40",
        "50 waiting for one execution key",
        "call to start beside 50 jobs of 10 ms in another partition, p50",
        "call to start beside 50 jobs of 10 ms in another partition, p99",
    ] == [figure.measure for figure in results.figures]


def test_side_without_its_package_is_reported(servers, monkeypatch):
    entry = sides.Entry(
        name="absent", target="a:B", packages=("not_there",), suites=frozenset({"drain"})
    )
    results = Results()

    run.measure_side(entry, ["drain"], servers, TINY, results)

    (figure,) = results.figures
    assert ("absent", "drain", "not_there is not installed") == (
        figure.side,
        figure.suite,
        figure.missing,
    )


def test_client_that_fails_says_why(tmp_path):
    client = Client("benchmarks.nowhere:Side", dict(os.environ), tmp_path / "log")

    with pytest.raises(run.ClientError, match="ModuleNotFoundError"):
        client.ask("describe")
    client.close()
