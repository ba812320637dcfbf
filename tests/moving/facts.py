"""What the tests compare of the records that an import has made."""

from django_jobflow.models import JobRecord


def facts(*names):
    """Return these columns of all records, in the order in which they were made."""
    return list(JobRecord.objects.order_by("pk").values_list(*names))
