"""What the bodies write, and what a trigger notes of each record."""

from django.db import models


class Effect(models.Model):
    """What a transactional job did: there must be one for each that succeeded."""

    key = models.CharField(max_length=100, db_index=True)

    def __str__(self):
        return self.key


class Run(models.Model):
    """What a plain job wrote in autocommit: there may be several."""

    key = models.CharField(max_length=100, db_index=True)

    def __str__(self):
        return self.key


class Move(models.Model):
    """A change of a record's state, holder or attempt, as the database saw it.

    Attributes:
        before: Its state until then. Empty for a new one.
        after: Its state from then on. Empty when the row was deleted, so that it has succeeded.
        former: Who held it; empty when nobody did.
        holder: Who holds it now.
        at: Seconds since 1970 by the database's clock.
    """

    job = models.BigIntegerField(db_index=True)
    before = models.CharField(max_length=11)
    after = models.CharField(max_length=11)
    attempt = models.IntegerField()
    max_attempts = models.IntegerField()
    former = models.CharField(max_length=200, default="")
    holder = models.CharField(max_length=200, default="")
    at = models.FloatField()

    def __str__(self):
        return f"{self.job}: {self.before} to {self.after}"
