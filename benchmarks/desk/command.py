"""``python -m benchmarks desk``."""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.servers import Servers
from benchmarks.tables import table

ROOT = Path(__file__).parent.parent.parent
RESULTS = Path(__file__).parent.parent / "results" / "desk"
PAGE = ROOT / "docs" / "explanation" / "admin-at-ten-million.md"
MARKED = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end of results -->)", re.DOTALL)


def main(arguments: list[str]) -> list[Path]:
    """Fill the tables, measure, and write what came out; return the files."""
    chosen = _parse(arguments)
    if not chosen.report:
        RESULTS.mkdir(parents=True, exist_ok=True)
        path = RESULTS / f"{date.today()}.json"
        path.write_text(json.dumps(_measured(chosen), indent=2) + "\n")
    latest = max(RESULTS.glob("*.json"))
    PAGE.write_text(filled(PAGE.read_text(), json.loads(latest.read_text())))
    return [latest, PAGE]


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks desk", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="live jobs, and successes")
    parser.add_argument("--times", type=int, default=5, help="that each request is made")
    parser.add_argument("--home", type=Path, help="where the tables may be; needs 25 GB")
    parser.add_argument("--report", action="store_true", help="only write the page anew")
    return parser.parse_args(arguments)


def _measured(chosen: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=chosen.home) as home:
        servers = Servers(Path(home))
        try:
            with servers.database("postgresql", "jobflow_desk") as database:
                os.environ.update(database.environment())
                return _of_django(chosen)
        finally:
            servers.close()


def _of_django(chosen: argparse.Namespace) -> dict[str, Any]:
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.desk.settings"
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from benchmarks.desk import filling, measuring

    call_command("migrate", verbosity=0)
    began = datetime.now(UTC)
    filling.fill(chosen.rows)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database()), version()")
        size, version = cursor.fetchone()
    print(f"Filled in {datetime.now(UTC) - began}: {size / 2**30:.1f} GiB", flush=True)
    costs = []
    for cost in measuring.measure(chosen.times):
        print(f"{cost.milliseconds:9.1f} ms {cost.statements:4d}  {cost.title}", flush=True)
        costs.append(cost.as_json())
    connection.close()
    return {
        "measured": str(date.today()),
        "rows": chosen.rows,
        "times": chosen.times,
        "gibibytes": round(size / 2**30, 1),
        "postgresql": version.split(" on ")[0],
        "django": django.__version__,
        "machine": machine.facts(chosen.home or Path("/tmp")),
        "costs": costs,
    }


def filled(page: str, results: dict[str, Any]) -> str:
    """Return the text of the page with its marked parts made from *results*."""
    parts = {"about": _about(results), "costs": _costs(results)}
    return MARKED.sub(lambda mark: f"{mark[1]}\n{parts[mark[2]]}\n\n{mark[3]}", page)


def _about(results: dict[str, Any]) -> str:
    return (
        f"Measured on {results['measured']} with {results['rows']:,} live jobs and as many that "
        f"have succeeded, {results['gibibytes']} GiB in all, on {results['postgresql']} and "
        f"Django {results['django']}, both on one machine with {os.cpu_count()} cores. "
        f"Each request was made {results['times']} times."
    )


def _costs(results: dict[str, Any]) -> str:
    rows = [
        [
            cost["title"],
            str(cost["statements"]),
            f"{cost['milliseconds']:,.0f}",
            f"{cost['slowest']:,.0f}",
            f"{cost['worst']:,.0f}",
        ]
        for cost in results["costs"]
    ]
    heads = ["page or action", "statements", "ms", "slowest, ms", "longest statement, ms"]
    return table(heads, rows)
