"""The settings in force, and the jobs that are declared here."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from django_jobflow import observe
from django_jobflow.admin.panels import PanelAdmin
from django_jobflow.declare import Definition
from django_jobflow.observe.configured import shown
from django_jobflow.version import __version__

COLUMNS = ("queue", "max_attempts", "timeout", "priority", "transactional", "concurrency")


class ConfigurationAdmin(PanelAdmin):
    """What this process has read; workers of another release may have another."""

    def panel(self, request: HttpRequest) -> dict[str, Any]:
        return {
            "settings": observe.settings_in_force(),
            "jobs": [_job(definition) for definition in observe.definitions()],
            "columns": COLUMNS,
            "version": __version__,
        }


def _job(definition: Definition) -> dict[str, Any]:
    return {
        "name": definition.name,
        "cells": [shown(getattr(definition, column)) for column in COLUMNS],
    }
