"""Enums and models whose members and instances the tests pass to jobs.

The models belong to the tests' app, so that the test runner makes their tables.
"""

import enum

from django.db import models


class Colour(enum.Enum):
    RED = "red"
    CRIMSON = "red"  # an alias
    PAIR = (1, 2)


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Size(enum.StrEnum):
    SMALL = "s"


class Ratio(float, enum.Enum):
    HALF = 0.5


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    ADMIN = 4
    EDIT = READ | WRITE


class Mode(enum.IntFlag):
    FAST = 1
    SAFE = 2


class Parcel(models.Model):
    class Status(models.TextChoices):
        SENT = "sent", "Sent"
        LOST = "lost", "Lost"

    code = models.UUIDField(primary_key=True)
    note = models.TextField(default="")

    class Meta:
        app_label = "testapp"

    def __str__(self):
        raise AssertionError("an error must not read what an instance says of itself")


class Priority(models.IntegerChoices):
    URGENT = 1


class Insured(Parcel):
    value = models.IntegerField()

    class Meta:
        app_label = "testapp"


class Label(models.Model):
    parcel = models.OneToOneField(Parcel, models.CASCADE, primary_key=True)

    class Meta:
        app_label = "testapp"

    def __str__(self):
        return str(self.pk)


class Stop(models.Model):
    pk = models.CompositePrimaryKey("route", "on")
    route = models.IntegerField()
    on = models.DateField()

    class Meta:
        app_label = "testapp"

    def __str__(self):
        return str(self.pk)


class HiddenManager(models.Manager):
    def get_queryset(self):
        return super().get_queryset().none()


class Archived(models.Model):
    note = models.TextField(default="")

    objects = HiddenManager()

    class Meta:
        app_label = "testapp"

    def __str__(self):
        return str(self.pk)


class Gift(Parcel):
    class Meta:
        app_label = "testapp"
        proxy = True
