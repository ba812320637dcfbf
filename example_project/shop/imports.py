"""Taking an order file in, from the page, from the command line and from the demo."""

from pathlib import PurePath

from django.core.files.base import ContentFile
from django.db import transaction

from shop.jobs import ImportOrders
from shop.models import OrderFile
from shop.order_files import check_order_file


def start_import(name: str, content: bytes) -> OrderFile:
    """Keep the file *content*, and enqueue the job that imports it.

    Nothing is written unless the whole of the file can be read.

    Raises:
        BadOrderFile: The content is not a list of orders.
    """
    row_count = check_order_file(content)
    short_name = PurePath(name).name[-200:]
    with transaction.atomic():
        order_file = OrderFile.objects.create(
            name=short_name,
            content=ContentFile(content, "orders.csv"),
            row_count=row_count,
        )
        ImportOrders.enqueue(order_file_id=order_file.pk)
    return order_file
