"""The shop's work in the background: a file becomes rows, rows become orders, orders are paid.

Each job may be executed more than once: when its worker dies, or when an operator retries it.
So each looks at what is there already, and does only what is missing.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice

from django.db import transaction
from django.utils import timezone

from django_jobflow import Discard, Job
from shop.models import ImportedRow, Order, OrderFile
from shop.order_files import BadOrderFile, RawRow, read_order_file
from shop.payments import PaymentRefused, charge
from shop.receipts import receipt_for
from shop.rows import BadRow, OrderFacts, read_row

ROWS_PER_CHUNK = 250


class ImportOrders(Job):
    """Store the rows of an order file and enqueue a job for each, in chunks that commit whole.

    An execution that was cut short is taken up after the last chunk that it committed.
    """

    queue = "imports"
    max_attempts = 3
    base_delay = 0.5
    timeout = 300

    def perform(self, order_file_id):
        order_file = OrderFile.objects.get(pk=order_file_id)
        with order_file.content.open("rb") as content:
            rows = read_order_file(content.read())
        try:
            for chunk in chunked(rows_after(last_line(order_file), rows), ROWS_PER_CHUNK):
                store_rows(order_file, chunk)
                done = order_file.rows.count()
                self.context.progress(100 * done / order_file.row_count, f"{done} rows")
        except BadOrderFile as error:
            raise Discard(f"{order_file}: {error}") from error
        return {"rows": order_file.rows.count()}


class ProcessOrder(Job):
    """Turn a row into an order, have it paid, then enqueue its receipt.

    A row that is no order fails at once: another attempt would read the same row. A gateway
    that does not answer is asked again.
    """

    queue = "orders"
    max_attempts = 8
    base_delay = 0.2
    timeout = 20

    def perform(self, row_id):
        row = ImportedRow.objects.get(pk=row_id)
        try:
            order = take_order(row)
        except BadRow as error:
            note_problem(row, str(error), self.context.job_id)
            raise Discard(
                f"{row}: {error} Mend row {row.pk} in the admin, then retry this job."
            ) from error
        return {"order": order.number, "charge": pay(order)}


class ChargeOrder(Job):
    """Have an order of the shop's page paid, then enqueue its receipt."""

    queue = "payments"
    max_attempts = 8
    base_delay = 0.2
    timeout = 20

    def queue_key(self, order_id):
        return f"charge:{order_id}"

    def perform(self, order_id):
        order = Order.objects.get(pk=order_id)
        return {"order": order.number, "charge": pay(order)}


class SendReceipt(Job):
    """Mail the receipt for a paid order.

    Mail has no idempotency key. A worker that dies between the sending and the next line
    sends a second copy, under the same Message-ID.
    """

    queue = "email"
    max_attempts = 5
    base_delay = 0.5
    timeout = 30

    def queue_key(self, order_id):
        return f"receipt:{order_id}"

    def perform(self, order_id):
        order = Order.objects.get(pk=order_id)
        if not order.is_receipted:
            receipt_for(order).send()
            Order.objects.filter(pk=order.pk).update(receipt_sent_at=timezone.now())
        return {"to": order.email}


def last_line(order_file: OrderFile) -> int:
    """Return the line of the last row that is stored; the header's when none is."""
    return order_file.rows.order_by("line").values_list("line", flat=True).last() or 1


def rows_after(line: int, rows: Iterable[RawRow]) -> Iterator[RawRow]:
    """Yield the *rows* that start behind *line*."""
    return (row for row in rows if row.line > line)


def chunked(rows: Iterable[RawRow], size: int) -> Iterator[list[RawRow]]:
    """Yield *rows* in lists of *size*."""
    rows = iter(rows)
    while chunk := list(islice(rows, size)):
        yield chunk


def store_rows(order_file: OrderFile, rows: list[RawRow]) -> None:
    """Store *rows* and enqueue a job for each, in one transaction."""
    with transaction.atomic():
        ImportedRow.objects.bulk_create(
            ImportedRow(file=order_file, line=row.line, surplus=row.surplus, **row.values)
            for row in rows
        )
        stored = order_file.rows.filter(line__range=(rows[0].line, rows[-1].line))
        ProcessOrder.enqueue_many({"row_id": pk} for pk in stored.values_list("pk", flat=True))


def take_order(row: ImportedRow) -> Order:
    """Return the order that *row* stands for; it is made if this is its first attempt.

    Raises:
        BadRow: The row is no order, or its order number belongs to another order.
    """
    if row.surplus:
        raise BadRow(f"The row has values beyond its last column: {row.surplus!r}.")
    facts = read_row(row.values())
    order, _ = Order.objects.get_or_create(
        number=facts.order_number, defaults={"row": row} | order_fields(facts)
    )
    if order.row_id != row.pk:
        raise BadRow(
            f"order_number: {order.number} was already taken from "
            f"{order.row or 'the page of the shop'}."
        )
    if row.problem:
        note_problem(row, "", 0)
    return order


def pay(order: Order) -> str:
    """Have *order* charged, book it, enqueue its receipt, and return the charge's id.

    The gateway is asked with an idempotency key, so an attempt whose answer was lost is no
    second charge.

    Raises:
        GatewayUnavailable: Try again.
        Discard: The gateway refuses the payment.
    """
    try:
        charge_id = order.charge_id or charge(
            reference=order.number, amount=order.minor_total, currency=order.currency
        )
    except PaymentRefused as error:
        note_refusal(order, str(error))
        raise Discard(f"Order {order}: {error}") from error
    with transaction.atomic():
        note_payment(order, charge_id)
        # A receipt is for money that is booked: nothing is enqueued before the commit.
        transaction.on_commit(partial(SendReceipt.enqueue, order_id=order.pk))
    return charge_id


def order_fields(facts: OrderFacts) -> dict[str, object]:
    """Return the fields of an order, without its number, from *facts*."""
    return {field: getattr(facts, field) for field in facts.__slots__ if field != "order_number"}


def note_problem(row: ImportedRow, problem: str, job_id: int) -> None:
    """Write beside *row* why it is no order, and which job to retry; or that all is well."""
    ImportedRow.objects.filter(pk=row.pk).update(problem=problem, job_id=job_id or None)


def note_payment(order: Order, charge_id: str) -> None:
    """Book the payment of *order*, once."""
    Order.objects.filter(pk=order.pk).exclude(state=Order.State.PAID).update(
        state=Order.State.PAID, charge_id=charge_id, refusal="", paid_at=timezone.now()
    )


def note_refusal(order: Order, refusal: str) -> None:
    """Write on *order* why its payment is refused."""
    Order.objects.filter(pk=order.pk).exclude(state=Order.State.PAID).update(
        state=Order.State.REFUSED, refusal=refusal
    )
