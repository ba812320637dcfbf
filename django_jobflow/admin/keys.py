"""The keys: who holds which, and who waits for it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.utils.translation import gettext as _

from django_jobflow import observe
from django_jobflow.admin import cells
from django_jobflow.admin.facts import Fact
from django_jobflow.admin.panels import PanelAdmin
from django_jobflow.models import JobRecord
from django_jobflow.observe import KeyFacts


class KeyAdmin(PanelAdmin):
    """What holds keys and waits for them; a key that is asked for is looked up."""

    def panel(self, request: HttpRequest) -> dict[str, Any]:
        key, partition = (request.GET.get(name, "").strip() for name in ("q", "partition"))
        shown: dict[str, Any] = {"key": key, "partition": partition}
        if key and "\0" not in key + partition:
            return shown | {"found": self._found(request, observe.key_facts(key, partition))}
        waits = observe.waited_for()
        return shown | {
            "waited_for": [
                {
                    "key": each.key,
                    "url": f"?{urlencode({'q': each.key, 'partition': each.partition})}",
                    "partition": each.partition,
                    "places": each.places,
                    "holders": self._jobs(request, each.holders),
                    "waiting": cells.number(each.waiting),
                }
                for each in waits.keys
            ],
            "has_more": waits.has_more,
            "running": self._jobs(request, observe.held_while_running()),
            "timed": [
                {
                    "job": each.job_id,
                    "url": self._job_url(request, each.job_id),
                    "until": cells.full(each.until),
                }
                for each in observe.held_for_a_time()
            ],
        }

    def _found(self, request: HttpRequest, facts: KeyFacts) -> dict[str, Any]:
        owner = [facts.queue_key_holder] if facts.queue_key_holder else []
        return {
            "is_free": facts.is_free,
            "owners": self._jobs(request, owner),
            "holders": self._jobs(request, facts.holders),
            "waiters": self._jobs(request, facts.waiters),
            "facts": list(_told(facts)),
        }

    def _jobs(self, request: HttpRequest, records: list[JobRecord]) -> list[dict[str, Any]]:
        return [
            {
                "record": record,
                "badge": cells.badge(record.state),
                "started": cells.moment(record.started_at),
                "url": self._job_url(request, record.pk),
            }
            for record in records
        ]

    def _job_url(self, request: HttpRequest, pk: int) -> str:
        return self.page_url(JobRecord, pk) if self.may_view(request, JobRecord) else ""


def _told(facts: KeyFacts) -> list[Fact]:
    told = [
        Fact(_("Places"), cells.number(facts.places)),
        Fact(_("Held as execution key"), cells.number(len(facts.holders))),
        Fact(_("Waiting"), cells.number(facts.waiting)),
    ]
    if facts.held_until is not None:
        told.append(Fact(_("Held as queue key until"), cells.full(facts.held_until)))
        told.append(Fact(_("For job"), str(facts.held_for)))
    return told
