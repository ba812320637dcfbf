"""The table that a "real" job writes into."""

from django.db import models


class Line(models.Model):
    """What one job wrote."""

    text = models.CharField(max_length=100)
    written_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "benchmark_line"

    def __str__(self) -> str:
        return self.text
