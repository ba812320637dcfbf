"""Where a call arrives at an executor: a process that may know nothing of Django yet."""

from __future__ import annotations

import os
import threading

from django_jobflow.worker.remote.parcel import Answer, Parcel

_setting_up = threading.Lock()


def run(parcel: Parcel) -> Answer:
    """Execute the attempt in *parcel* in this thread; raises nothing that a body has raised."""
    try:
        set_up(parcel.settings)
        from django_jobflow.worker.remote.station import station_of

        station = station_of(parcel.database)
    except (Exception, SystemExit) as error:
        return Answer(refusal=f"Django could not be set up there: {error!r}")
    return station.run(parcel.reservation)


def set_up(settings: str) -> None:
    """Set Django up with *settings*, unless it is, or the environment names others."""
    import django
    from django.apps import apps

    with _setting_up:
        if not apps.ready:
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", settings)
            django.setup()
