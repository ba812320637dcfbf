"""The first page of the desk: how each queue is doing, and how it has been doing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils import formats, timezone
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.utils.translation import gettext as _

from django_jobflow import conf, observe
from django_jobflow.admin import cells, charts, desk
from django_jobflow.admin.base import ReadOnlyAdmin
from django_jobflow.observe import Count, QueueFigures
from django_jobflow.states import JobState

POLL_INTERVAL = 5.0  # seconds between two looks of a page that is open
PERMISSION = "jobflow.view_history"
PARTS = ("tiles", "queues", "workers", "throughput", "backlog", "waits", "runs")


class HistoryAdmin(ReadOnlyAdmin):
    """The overview; its rows have no pages of their own."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("", view(self.changelist_view), name="jobflow_history_changelist"),
            path("data/", view(self.data_view), name="jobflow_history_data"),
        ]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the first page of the app, which shows the overview."""
        address = reverse(
            "admin:app_list", kwargs={"app_label": "jobflow"}, current_app=self.admin_site.name
        )
        return HttpResponseRedirect(f"{address}?{request.GET.urlencode()}".rstrip("?"))

    def data_view(self, request: HttpRequest) -> HttpResponse:
        """Answer with what has changed of the page: 304 if that is nothing.

        Database:
            What the page costs.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        request.current_app = self.admin_site.name
        response = JsonResponse(data(request))
        tag = quote_etag(hashlib.blake2b(response.content, digest_size=16).hexdigest())
        response["ETag"] = tag
        return get_conditional_response(request, etag=tag, response=response) or response


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address of the page asks for.

    Attributes:
        span: One of ``observe.SPANS``.
        queue: The queue that the charts are of; empty means all.
    """

    span: str
    queue: str

    @classmethod
    def of(cls, request: HttpRequest) -> Asked:
        """Read it; whatever has no meaning means the last hour, and all queues."""
        span, queue = request.GET.get("span", ""), request.GET.get("queue", "")
        return cls(
            span if span in observe.SPANS else "hour",
            "" if "\0" in queue or len(queue) > 100 else queue,
        )

    def url(self, **changes: str) -> str:
        """Return the address of the page with *changes*."""
        said = {"span": self.span, "queue": self.queue} | changes
        return "?" + urlencode({key: value for key, value in said.items() if value})


def page(request: HttpRequest) -> dict[str, Any]:
    """Return what the template shows.

    Database:
        What ``observe.overview`` and ``observe.history`` cost.
    """
    asked = Asked.of(request)
    seen = observe.overview()
    past = observe.history(asked.span, asked.queue, now=seen.now)
    figures = next((each for each in seen.queues if each.queue == asked.queue), seen.total)
    labels = {"hour": _("Last hour"), "day": _("Last day"), "week": _("Last week")}
    address = desk.address(request, "jobflow_history_data")
    return {
        "asked": asked,
        "spans": [(labels[name], asked.url(span=name), name == asked.span) for name in labels],
        "all_queues_url": asked.url(queue=""),
        "tiles": _tiles(seen, figures),
        "figures_of": figures.queue,
        "measured": charts.duration(observe.MEASURED * 60),
        "rated": charts.duration(observe.RATED * 60),
        "queues": [_queue(request, asked, each) for each in seen.queues],
        "has_more_queues": seen.has_more_queues,
        "workers": [_worker(request, each) for each in seen.workers],
        "charts": [
            {
                "name": chart.name,
                "title": chart.title,
                "summary": _summary(chart, past),
                "lines": chart.lines,
                "rows": charts.rows(chart, past),
            }
            for chart in charts.CHARTS
        ],
        "data_url": f"{address}{asked.url()}" if address else "",
        "interval": int(POLL_INTERVAL * 1000),
        "time_zone": timezone.get_current_timezone_name() if conf.has_time_zones() else "",
        "past": past,
    }


def data(request: HttpRequest) -> dict[str, Any]:
    """Return what the script of the page shows: parts of the page, and numbers for the charts."""
    context = page(request)
    parts = {
        name: render_to_string(f"jobflow/_overview_{name}.html", context)
        for name in ("tiles", "queues", "workers")
    }
    for chart in context["charts"]:
        parts[chart["name"]] = render_to_string("jobflow/_overview_periods.html", {"chart": chart})
    past = context["past"]
    return {
        "parts": parts,
        "starts": [int(period.start.timestamp()) for period in past],
        "length": past[0].length,
        "units": [
            [1, _("%(count)s s")],
            [60, _("%(count)s min")],
            [3600, _("%(count)s h")],
            [86400, _("%(count)d d").replace("%(count)d", "%(count)s")],
            [0.001, _("%(count)s ms")],
        ],
        "charts": [
            {
                "name": chart.name,
                "title": f"{chart.title}: {_summary(chart, past)}",
                "unit": chart.unit,
                "stacked": chart.is_stacked,
                "labels": {line.name: str(line.label) for line in chart.lines},
                "series": charts.series(chart, past),
            }
            for chart in charts.CHARTS
        ],
    }


def _summary(chart: charts.Chart, past: list[observe.Period]) -> str:
    """Return what a chart shows, in words: for who does not see it."""
    said = []
    for line in chart.lines:
        values = [value for period in past if (value := line.of(period)) is not None]
        if not values:
            continue
        if chart.is_stacked:
            text = charts.said(sum(values), chart.unit)
        else:
            text = _("from %(least)s to %(most)s") % {
                "least": charts.said(min(values), chart.unit),
                "most": charts.said(max(values), chart.unit),
            }
        said.append(f"{line.label} {text}")
    return ", ".join(said) or _("nothing yet")


def _count(count: Count) -> str:
    number = formats.number_format(count.number, force_grouping=True)
    return f"{number}+" if count.is_more else str(number)


def _pair(pair: tuple[float | None, float | None]) -> str:
    return " / ".join(map(charts.percentile, pair)) if pair != (None, None) else charts.NOTHING


def _tiles(seen: observe.Overview, total: QueueFigures) -> list[tuple[str, str]]:
    """Return the numbers of one queue, or of all: only these have slots to themselves."""
    busy = sum(each.running for each in seen.workers if each.is_alive)
    slots = _("%(busy)s of %(slots)s") % {"busy": busy, "slots": seen.total.slots}
    return [
        (_("Waiting"), _count(total.waiting)),
        (_("Running"), _count(total.running)),
        (_("To be retried"), _count(total.retrying)),
        (_("Failed"), _count(total.failed)),
        (_("Longest wait"), charts.duration(total.oldest)),
        (_("Waited, median / 95 %"), _pair(total.waits)),
        (_("Ran, median / 95 %"), _pair(total.runs)),
        (_("In"), charts.rate(total.rate_in)),
        (_("Out"), charts.rate(total.rate_out)),
        *([] if total.queue else [(_("Slots in use"), slots)]),
    ]


def _queue(request: HttpRequest, asked: Asked, facts: QueueFigures) -> dict[str, Any]:
    def link(permission: str, name: str, **filters: str) -> str:
        user: Any = request.user
        url = desk.address(request, name) if user.has_perm(f"jobflow.{permission}") else None
        return f"{url}?{urlencode(filters | {'queue': facts.queue})}" if url else ""

    jobs = ("view_jobrecord", "jobflow_jobrecord_changelist")
    failed = ("view_failedjob", "jobflow_failedjob_changelist")
    return {
        "name": facts.queue,
        "url": asked.url(queue=facts.queue),
        "is_chosen": facts.queue == asked.queue,
        "numbers": [
            (_count(facts.waiting), link(*jobs, state=JobState.AVAILABLE.value)),
            (_count(facts.running), link(*jobs, state=JobState.IN_PROGRESS.value)),
            (_count(facts.retrying), link(*jobs, state=JobState.RETRY.value)),
            (_count(facts.failed), link(*failed)),
        ],
        "texts": [
            charts.duration(facts.oldest),
            _pair(facts.waits),
            _pair(facts.runs),
            charts.rate(facts.rate_in),
            charts.rate(facts.rate_out),
        ],
        "workers": facts.workers,
        "is_stuck": not facts.workers and facts.waiting.number > 0,
    }


def _worker(request: HttpRequest, facts: observe.WorkerFacts) -> dict[str, Any]:
    user: Any = request.user
    pk, may_view = quote(facts.name), user.has_perm("jobflow.view_worker")
    badge = (
        cells.badge_of("succeeded", _("Alive"))
        if facts.is_alive
        else cells.badge_of("failed", _("Silent"))
    )
    return {
        "name": facts.name,
        "url": desk.address(request, "jobflow_worker_change", pk) if may_view else None,
        "badge": badge,
        "queues": cells.joined(list(facts.queues)) or _("all"),
        "running": facts.running,
        "slots": facts.slots,
    }
