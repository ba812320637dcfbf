"""Moving in from another queue: its rows become records here, and are lost in neither."""

from django_jobflow.moving.carrying import ORIGIN, Move
from django_jobflow.moving.django_q import DjangoQ
from django_jobflow.moving.django_tasks_db import DjangoTasksDB
from django_jobflow.moving.naming import read_names
from django_jobflow.moving.procrastinate import Procrastinate
from django_jobflow.moving.sources import Source
from django_jobflow.moving.values import Left, Report

__all__ = [
    "ORIGIN",
    "DjangoQ",
    "DjangoTasksDB",
    "Left",
    "Move",
    "Procrastinate",
    "Report",
    "Source",
    "read_names",
]
