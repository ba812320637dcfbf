"""A shop at three in the morning: rows for every page of the desk, and the pages themselves.

Nothing is left out that pages have to stand: long names, deep tracebacks, letters of other
scripts and directions, nothing at all.
"""

from dataclasses import dataclass
from datetime import timedelta

from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils import timezone

from django_jobflow import Job
from django_jobflow.attempts import key_digest
from django_jobflow.declare import registry
from django_jobflow.models import (
    AuditEntry,
    Batch,
    BulkOperation,
    FailedJob,
    KeyHold,
    Release,
    SavedView,
)
from django_jobflow.states import JobState
from tests.admin.past import write_past
from tests.admin.site import list_url, page_url
from tests.factories import (
    FailedJobFactory,
    FailureGroupFactory,
    JobLogFactory,
    JobRecordFactory,
    LimitFactory,
    PauseFactory,
    SucceededJobFactory,
    WorkerFactory,
    error_entry,
)

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
MAIL, CHARGE = "shop.mail.SendReceipt", "shop.cards.Charge"
REPORT, STOCK = "shop.reports.Build", "shop.stock.Import"
LONG = "warehouse.integrations.suppliers.synchronisation.ReconcileInventoryWithSupplierCatalogue"
ARABIC = "تعذّر إرسال الإيصال إلى العميل"
JAPANESE = "在庫の同期に失敗しました。仕入先の応答がありません。"
SETTINGS = {
    "LEASE": 600,  # nobody falls silent while a slow machine looks at all pages
    "QUEUES": {"default": {}, "email": {"limit": 4}, "reports": {"rate": "100/m"}, "imports": {}},
}
FRAME = '  File "{}/{}.py", line {}, in {}\n    {}\n'
LIBRARY = "/srv/venv/lib/python3.13/site-packages"


def declare_jobs():
    """Declare what the shop does, and nothing else; inside ``registry.isolated()``."""
    registry._jobs.clear()
    registry._by_any_name.clear()

    def perform(self, *args, **kwargs):
        raise NotImplementedError

    def of(name, **options):
        type("Any", (Job,), {"perform": perform, "name": name, "__module__": __name__, **options})

    of(MAIL, queue="email", max_attempts=3)
    of(CHARGE, queue="payments", max_attempts=5, timeout=60, sensitive={"card"})
    of(REPORT, queue="reports", timeout=None)
    of(STOCK, queue="imports", max_attempts=2)
    of(LONG, queue="imports")


def traceback(error, depth=1):
    """Return a traceback through *depth* times the same frames of a library."""
    library = FRAME.format(f"{LIBRARY}/mailer", "http", 203, "_post", "raise Refused(answer)")
    return (
        "Traceback (most recent call last):\n"
        + FRAME.format("/srv/shop", "mail", 41, "perform", "self.send(order, retry=False)")
        + library * 2 * depth
        + FRAME.format(
            "/srv/shop",
            "transport",
            88,
            "deliver",
            "return self.connection.sendmail(sender, [order.customer.email], message.as_bytes())",
        )
        + library * depth
        + error
        + "\n"
    )


def errors(now, exception, message, count, depth=1):
    """Return what *count* failed attempts leave."""
    text = traceback(f"{exception}: {message}", depth)
    return [
        error_entry(number, now - (count - number) * MINUTE, "web-1:4711:9f3c01a2")
        | {"exception": exception, "message": message, "traceback": text, "seconds": 4.2 * number}
        for number in range(1, count + 1)
    ]


@dataclass
class Shop:
    """What is there, by the word that a page is called by."""

    jobs: dict
    kinds: dict
    workers: list
    batches: list
    operations: list
    view: SavedView
    pause: object
    limit: object
    entry: AuditEntry


def open_shop(owner=""):
    """Fill the tables, and return what of them has a page of its own.

    Args:
        owner: The key of the user whose saved view there is.
    """
    now = timezone.now()
    Release.objects.create(name="2026.11.2", first_seen_at=now - 2 * HOUR)
    workers = _workers(now)
    kinds = _kinds(now)
    jobs = _jobs(now, workers[0].pk, kinds["refused"].pk)
    write_past(now, minutes=90)
    KeyHold.objects.create(
        digest=key_digest("", "receipt:7"), job_id=jobs["succeeded"].pk, until=now + HOUR
    )
    pause = PauseFactory(
        value="reports",
        by="ann",
        reason="Until the books are closed",
        until=now + HOUR,
    )
    PauseFactory(kind="job", value=LONG, by="system administrator on duty", reason=JAPANESE)
    limit = LimitFactory(value="email", concurrency=4, by="ann")
    LimitFactory(value="imports", concurrency=None, rate=100, period=MINUTE, by="Søren")
    return Shop(
        jobs=jobs,
        kinds=kinds,
        workers=workers,
        batches=_batches(now),
        operations=_operations(now, jobs),
        view=_views(owner),
        pause=pause,
        limit=limit,
        entry=_audit(now, jobs),
    )


def _workers(now):
    common = {"version": "0.1.0", "supervisor": "web-1:4700:77aa01bc", "wake_up": "notify"}
    names = [MAIL, CHARGE, REPORT, STOCK, LONG]
    living = [
        WorkerFactory(
            name=f"{host}:4711:9f3c01a{number}",
            host=host,
            release="2026.11.2",
            queues=queues,
            names=names,
            started_at=now - number * 31 * HOUR,
            memory=61_000_000 + number * 1_500_000,
            **common,
        )
        for number, (host, queues) in enumerate(
            [
                ("web-1", ["email", "payments", "imports"]),
                ("worker-eu-central-1b-7f9c6d5b8d-x2k4q.jobs.shop.example", []),
            ],
            1,
        )
    ]
    silent = WorkerFactory(
        name="web-3:911:0badcafe", host="web-3", now=now - HOUR, stops="process"
    )
    return [*living, silent]


def _kinds(now):
    hour = int(now.timestamp()) // 3600 * 3600
    history = {str(hour - back * 3600): (back * 7) % 13 for back in range(1, 40)}
    return {
        "refused": FailureGroupFactory(
            exception="smtplib.SMTPRecipientsRefused",
            place="shop.transport:Transport.deliver",
            message="Order # was refused by '…'.",
            count=12_431,
            history=history | {str(hour): 40},
            names={MAIL: 12_000, LONG: 431},
            releases={"2026.11.2": 11_000, "2026.11.1": 1431},
            first_seen_at=now - 60 * HOUR,
        ),
        "expired": FailureGroupFactory(
            exception="shop.errors.CardExpired",
            place="shop.cards:Charge.perform",
            message="Card of order # has expired.",
            history={str(hour - 9 * 3600): 3},
            names={CHARGE: 3},
            first_seen_at=now - 70 * HOUR,
            last_seen_at=now - 9 * HOUR,
            muted_at=now - HOUR,
            muted_until=now + 9 * HOUR,
            muted_by="ann",
        ),
        "long": FailureGroupFactory(
            exception="warehouse.integrations.suppliers.errors.SupplierCatalogueUnavailable",
            place=f"{LONG}.perform",
            message=f"{ARABIC} https://suppliers.example/v2/" + "x" * 150,
            count=1,
            history={str(hour): 1},
            names={LONG: 1},
            first_seen_at=now - HOUR,
        ),
    }


def _jobs(now, worker, fingerprint):
    mail = {"name": MAIL, "queue": "email", "now": now}
    long_ago = {"created_at": now - 9 * MINUTE}
    JobRecordFactory.create_batch(7, **mail)
    JobRecordFactory.create_batch(3, state=JobState.WAITING, execution_key="smtp:1", **mail)
    refused = {"fingerprint": fingerprint, "max_attempts": 3} | mail | long_ago
    for order, message in ((7, "Order 7 was refused by 'smtp-2'."), (8, ARABIC)):
        said = errors(now, "smtplib.SMTPRecipientsRefused", message, 3)
        FailedJobFactory(kwargs={"order_id": order}, errors=said, **refused)
    running = JobRecordFactory(
        state=JobState.IN_PROGRESS,
        name=STOCK,
        queue="imports",
        now=now,
        reserved_by=worker,
        progress=40,
        progress_message="400 of 1,000 articles",
        execution_key="smtp:1",
        kwargs={"supplier": "Müller & Söhne", "articles": list(range(12))},
        tags=["nightly", "eu"],
        partition="eu",
    )
    said = ["Reading the catalogue of Müller & Söhne.", JAPANESE, ARABIC, "x" * 300]
    lines = [
        [(now - (4 - number) * SECOND).timestamp(), level, "shop.stock", text]
        for number, (level, text) in enumerate(
            zip(["INFO", "WARNING", "ERROR", "DEBUG"], said, strict=True)
        )
    ]
    JobLogFactory(job=running, entries=lines, worker=worker)
    long = FailedJobFactory(
        name=LONG,
        queue="imports",
        now=now,
        max_attempts=3,
        errors=errors(now, "warehouse.errors.SupplierCatalogueUnavailable", "y" * 400, 3, 12),
        **long_ago,
        kwargs={"supplier": ARABIC, "note": JAPANESE, "address": "z" * 300},
        queue_key="supplier:" + "k" * 120,
        tags=[f"import-{number}" for number in range(9)],
    )
    charge, report = {"name": CHARGE, "queue": "payments"}, {"name": REPORT, "queue": "reports"}
    unreachable = errors(now, "shop.errors.BankUnreachable", "No answer within 20 s.", 2)
    others = {
        "scheduled": report | {"kwargs": {"month": "2026-10"}},
        "available": {"name": MAIL, "queue": "email", "queue_key": "receipt:8", "priority": 10},
        "reserved": charge | {"reserved_by": worker},
        "retry": charge
        | long_ago
        | {
            "kwargs": {"order_id": 7, "card": "4111 1111"},
            "attempt": 2,
            "max_attempts": 5,
            "errors": unreachable,
        },
        "waiting": {
            "name": STOCK,
            "queue": "imports",
            "execution_key": "smtp:1",
            "partition": "eu",
        },
        "cancelled": report,
    }
    found = {
        word: JobRecordFactory(state=word.upper(), now=now, **facts)
        for word, facts in others.items()
    }
    succeeded = SucceededJobFactory.create_batch(3, name=MAIL, queue="email", now=now)
    SucceededJobFactory(
        name=LONG, queue="imports", now=now - HOUR, result={"note": JAPANESE * 9, "count": 12}
    )
    failed = FailedJob.objects.order_by("id").first()
    return found | {
        "in_progress": running,
        "failed": failed,
        "failed-long": long,
        "succeeded": succeeded[0],
    }


def _batches(now):
    closed = Batch.objects.create(description="Receipts of November", closed_at=now)
    for state in (JobState.AVAILABLE, JobState.FAILED, JobState.IN_PROGRESS):
        JobRecordFactory(name=MAIL, queue="email", state=state, batch_id=closed.pk, now=now)
    SucceededJobFactory(name=MAIL, queue="email", batch_id=closed.pk, now=now)
    finished = Batch.objects.create(
        description=f"{JAPANESE} {LONG}",
        closed_at=now - HOUR,
        finished_at=now,
        total=12_431,
        failed=31,
        cancelled=0,
        deleted=2,
    )
    return [closed, finished, Batch.objects.create()]


def _operations(now, jobs):
    last = jobs["failed-long"].pk
    common = {"by": "ann", "via": "admin", "origin": "192.0.2.7", "action": "retry"}
    search = "state:failed queue:email error:smtplib.SMTPRecipientsRefused age<12h"
    return [
        BulkOperation.objects.create(
            search=search, cursor=last * 2 // 5, last_id=last, done=4972, expected=12_431, **common
        ),
        BulkOperation.objects.create(
            search=f'name:{LONG} tag:"{JAPANESE}"',
            state="BROKEN",
            finished_at=now,
            error=f"SearchError: {ARABIC}",
            **common,
        ),
        BulkOperation.objects.create(
            search="queue:imports", state="DONE", finished_at=now, done=3, skipped=1, **common
        ),
    ]


def _views(owner):
    search = {"search": "queue:email state:failed age<1d", "is_shared": True}
    SavedView.objects.create(name=JAPANESE, owner="0", owner_name="bo", **search)
    name = "Refused receipts of the last day"
    return SavedView.objects.create(name=name, owner=owner, owner_name="ann", **search)


def _audit(now, jobs):
    for number, (action, subject, count) in enumerate(
        [
            ("pause", "queue:reports", 1),
            ("set_limit", "queue:email", 1),
            (
                "start_bulk",
                "?state:failed queue:email error:SMTPRecipientsRefused",
                12_431,
            ),
            ("stop_worker", "worker:worker-eu-central-1b-7f9c6d5b8d-x2k4q.jobs.shop.example", 1),
            ("mute", "failure:shop.errors.CardExpired", 1),
        ]
    ):
        AuditEntry.objects.create(
            at=now - number * 7 * MINUTE,
            action=action,
            by="ann",
            via="admin",
            origin="192.0.2.7",
            subject=subject,
            count=count,
        )
    return AuditEntry.objects.create(
        at=now,
        action="update",
        by="system administrator on duty",
        via="command",
        origin="worker-eu-central-1b-7f9c6d5b8d-x2k4q",
        subject=f"id:{jobs['failed'].pk}",
        count=1,
        detail={"before": {"order_id": 7, "note": ARABIC}, "after": {"order_id": 8}},
    )


def pages_of(shop):
    """Return the address of each page that a person can look at, by its name."""
    search = "state:failed queue:email"
    queues = {
        word: reverse("admin:jobflow_queue_change", args=[quote(word)])
        for word in SETTINGS["QUEUES"]
    }
    dry_run = {"q": search, "action": "retry", "rate": 500}
    pages = {
        "overview": reverse("admin:app_list", kwargs={"app_label": "jobflow"}),
        "live-jobs": list_url("jobrecord"),
        "failed-jobs": list_url("failedjob"),
        "succeeded-jobs": list_url("succeededjob"),
        "search": list_url("jobrecord", q=search),
        "search-wrong": list_url("jobrecord", q="quue:email"),
        "search-empty": list_url("jobrecord", q="queue:nothing"),
        "failures": list_url("failuregroup"),
        "failures-empty": list_url("failuregroup", q="nothing like it"),
        "queues": list_url("queue"),
        "queue-purge": reverse("admin:jobflow_queue_purge", args=["email"]),
        "workers": list_url("worker"),
        "worker": page_url(shop.workers[0]),
        "worker-long": page_url(shop.workers[1]),
        "worker-silent": page_url(shop.workers[2]),
        "worker-stop": page_url(shop.workers[0], "stop"),
        "keys": list_url("key"),
        "key": list_url("key", q="smtp:1", partition="eu"),
        "key-free": list_url("key", q="nobody's"),
        "limits": list_url("limit"),
        "limit": page_url(shop.limit),
        "limit-add": reverse("admin:jobflow_limit_add"),
        "limit-delete": page_url(shop.limit, "delete"),
        "pauses": list_url("pause"),
        "pause": page_url(shop.pause),
        "pause-add": reverse("admin:jobflow_pause_add"),
        "pause-delete": page_url(shop.pause, "delete"),
        "batches": list_url("batch"),
        "settings": list_url("configuration"),
        "database": reverse("admin:jobflow_database"),
        "audit": list_url("auditentry"),
        "audit-entry": page_url(shop.entry),
        "bulk-operations": list_url("bulkoperation"),
        "bulk-start": reverse("admin:jobflow_bulkoperation_start"),
        "bulk-dry-run": reverse("admin:jobflow_bulkoperation_start", query=dry_run),
        "saved-views": list_url("savedview"),
        "saved-view": page_url(shop.view),
        "saved-view-add": reverse("admin:jobflow_savedview_add", query={"search": search}),
        "saved-view-delete": page_url(shop.view, "delete"),
        "job-edit": page_url(shop.jobs["failed"], "edit"),
        "job-reschedule": page_url(shop.jobs["scheduled"], "reschedule"),
        "job-delete": page_url(shop.jobs["failed"], "delete"),
        "job-history": page_url(shop.jobs["failed"], "history"),
    }
    pages |= {f"queue-{word}": address for word, address in queues.items()}
    pages |= {
        f"live-jobs-{state.lower()}": list_url("jobrecord", state=state) for state in JobState
    }
    pages |= {f"job-{word}": page_url(row) for word, row in shop.jobs.items()}
    pages |= {f"failure-{word}": page_url(row) for word, row in shop.kinds.items()}
    pages |= {f"batch-{number}": page_url(row) for number, row in enumerate(shop.batches)}
    pages |= {f"bulk-{row.state.lower()}": page_url(row) for row in shop.operations}
    return pages
