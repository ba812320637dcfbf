"""The jobs of the peers that speak ``django.tasks``."""

from django.tasks import task

from benchmarks import counters
from benchmarks.project import bodies
from benchmarks.project.models import Line


@task
def noop():
    counters.bump()


@task
def stamp(moment):
    counters.stamp(moment)


@task
def insert():
    Line.objects.create(text="a line")
    counters.bump()


@task
def insert_raw():
    bodies.insert_by_cursor()
