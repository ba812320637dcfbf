"""The figures of a run, as tables in the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from shop.demo.figures import Check, JobFigures, WorkFigures, percentile
from shop.models import ImportedRow
from shop.servers.gateway import Gateway

EXAMPLES = 3


def show_work(console: Console, work: WorkFigures) -> None:
    """Print what became of the jobs, by name and in all."""
    table = Table(title="Jobs", title_justify="left")
    table.add_column("job")
    for heading in ("succeeded", "failed", "retried", "waited p50", "waited p95"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, figures in work.jobs.items():
        table.add_row(*_cells(name.removeprefix("shop.jobs."), figures))
    table.add_section()
    table.add_row(*_cells("all", work.total), style="bold")
    console.print(table)
    ended = work.total.succeeded + work.total.failed
    console.print(
        f"{ended:,} jobs ended in {work.seconds:.1f} s: "
        f"[bold]{work.jobs_per_second:,.0f} jobs per second[/bold]\n"
    )


def _cells(name: str, figures: JobFigures) -> list[str]:
    return [
        name,
        f"{figures.succeeded:,}",
        f"{figures.failed:,}",
        f"{figures.retried:,}",
        f"{percentile(figures.waits, 50):.2f} s",
        f"{percentile(figures.waits, 95):.2f} s",
    ]


def show_checks(console: Console, found: Sequence[Check], gateway: Gateway) -> None:
    """Print what has to be so after every run, and whether it is."""
    table = Table(title="Books", title_justify="left", show_header=False)
    for check in found:
        verdict = "[green]yes[/green]" if check.holds else "[red]NO[/red]"
        table.add_row(check.claim, verdict, check.facts)
    console.print(table)
    counts = gateway.ledger.counts
    console.print(
        f"The gateway answered 503 {counts['unavailable']:,} times, and was silent for too long "
        f"{counts['hanging'] + counts['late']:,} times, {counts['late']:,} of them after it had "
        f"charged.\n"
    )


def show_problems(console: Console) -> None:
    """Print how many rows an operator has to mend, and a few of them."""
    rows = ImportedRow.objects.exclude(problem="").select_related("file")
    if count := rows.count():
        console.print(f"Rows to be mended in the admin: {count:,}, among them:")
    for row in rows[:EXAMPLES]:
        console.print(f"  {row}: {row.problem}", markup=False, highlight=False)
    console.print()
