"""Jobs declared from values, at a place that an error can name."""

from django_jobflow import Job

PLACE = "shop.jobs.Send"


def perform(self, order_id): ...


def declare(*bases, class_name="Send", **attributes):
    """Return a new job that stands in ``shop.jobs``."""
    body = {"__module__": "shop.jobs", "__qualname__": class_name, "perform": perform}
    return type(class_name, bases or (Job,), body | attributes)
