"""What a project had before its move; imported once the package is installed."""

try:
    from django.tasks import task
except ImportError:
    from django_tasks import task


@task()
def send_receipt(order_id, copy_to=None):
    raise AssertionError("No worker runs here.")


@task(takes_context=True)
def retired(context, number):
    raise AssertionError("No worker runs here.")
