"""What the tables, the gateway and the mail server say after a run."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django_jobflow.models import FailedJob, SucceededJob
from shop.jobs import ProcessOrder
from shop.models import ImportedRow, Order
from shop.servers.gateway import Gateway
from shop.servers.mail import MailServer


@dataclass
class JobFigures:
    """What became of the jobs of one name.

    Attributes:
        retried: Those that needed more than one attempt, whatever their end.
        waits: Seconds from the moment a succeeded job was due until its last start.
    """

    succeeded: int = 0
    failed: int = 0
    retried: int = 0
    waits: list[float] = field(default_factory=list)

    def add(self, other: "JobFigures") -> None:
        """Count the jobs of *other* too."""
        self.succeeded += other.succeeded
        self.failed += other.failed
        self.retried += other.retried
        self.waits += other.waits


@dataclass(frozen=True, slots=True)
class WorkFigures:
    """What became of all jobs.

    Attributes:
        seconds: From the first start to the last end.
    """

    jobs: dict[str, JobFigures]
    seconds: float

    @property
    def total(self) -> JobFigures:
        total = JobFigures()
        for figures in self.jobs.values():
            total.add(figures)
        return total

    @property
    def jobs_per_second(self) -> float:
        return (self.total.succeeded + self.total.failed) / self.seconds if self.seconds else 0


def work_figures() -> WorkFigures:
    """Read the tables of succeeded and failed jobs."""
    columns = ("name", "attempt", "started_at")
    succeeded = list(
        SucceededJob.objects.order_by("pk").values_list(*columns, "succeeded_at", "available_at")
    )
    failed = list(FailedJob.objects.order_by("pk").values_list(*columns, "finished_at"))
    jobs: dict[str, JobFigures] = defaultdict(JobFigures)
    for name, attempt, started_at, _, available_at in succeeded:
        jobs[name].succeeded += 1
        jobs[name].retried += attempt > 1
        jobs[name].waits.append((started_at - available_at).total_seconds())
    for name, attempt, *_ in failed:
        jobs[name].failed += 1
        jobs[name].retried += attempt > 1
    starts, ends = ([row[at] for row in (*succeeded, *failed)] for at in (2, 3))
    seconds = (max(ends) - min(starts)).total_seconds() if ends else 0
    return WorkFigures(dict(jobs), seconds)


def percentile(values: Iterable[float], part: int) -> float:
    """Return the smallest value that *part* per cent of *values* do not exceed; 0 of none."""
    ordered: Sequence[float] = sorted(values)
    return ordered[max(0, -(-len(ordered) * part // 100) - 1)] if ordered else 0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that has to be so after every run.

    Attributes:
        facts: The numbers that it was judged by.
    """

    claim: str
    holds: bool
    facts: str


def checks(rows: int, gateway: Gateway, mail: MailServer) -> list[Check]:
    """Hold the shop's books against what the gateway and the mail server saw.

    Args:
        rows: Orders in the file.
    """
    return [
        _every_row_settled(rows),
        _charged_once(gateway),
        _receipted_once(mail),
        _unpaid_explained(),
    ]


def _every_row_settled(rows: int) -> Check:
    stored = ImportedRow.objects.count()
    orders = Order.objects.filter(row__isnull=False).count()
    to_mend = ImportedRow.objects.filter(order=None).exclude(problem="").count()
    return Check(
        "Every row became an order, or says why not",
        rows == stored == orders + to_mend,
        f"rows: {rows:,}, stored: {stored:,}, orders: {orders:,}, to mend: {to_mend:,}",
    )


def _charged_once(gateway: Gateway) -> Check:
    booked = Counter(
        (order.number, order.charge_id, order.minor_total, order.currency)
        for order in Order.objects.filter(state=Order.State.PAID)
    )
    taken = Counter(
        (charge.reference, charge.id, charge.amount, charge.currency)
        for charge in gateway.ledger.charges.values()
    )
    return Check(
        "Every paid order was charged once, at its price",
        booked == taken and len(taken) == len({reference for reference, *_ in taken}),
        f"orders paid: {booked.total():,}, charges at the gateway: {taken.total():,}",
    )


def _receipted_once(mail: MailServer) -> Check:
    numbers = Order.objects.filter(receipt_sent_at__isnull=False).values_list("number", flat=True)
    expected = Counter(f"<receipt-{number}@tea.example>" for number in numbers)
    paid = Order.objects.filter(state=Order.State.PAID).count()
    return Check(
        "Every paid order got one receipt",
        expected == mail.received and paid == len(expected),
        f"orders paid: {paid:,}, mails received: {mail.received.total():,}",
    )


def _unpaid_explained() -> Check:
    unpaid = Order.objects.exclude(state=Order.State.PAID).count()
    processing = FailedJob.objects.filter(name=ProcessOrder.definition().name).count()
    failed = processing - ImportedRow.objects.exclude(problem="").count()
    return Check(
        "Every unpaid order has a failed job to look at",
        unpaid == failed,
        f"orders unpaid: {unpaid:,}, payments failed: {failed:,}",
    )
