"""The shop's page: place an order, hand in a file of orders, see how the latest ones get on."""

from django.contrib import messages
from django.db import transaction
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from shop.forms import OrderFileForm, OrderForm
from shop.imports import start_import
from shop.jobs import ChargeOrder
from shop.models import Order, OrderFile
from shop.order_files import COLUMNS

LATEST_ORDERS = 25
LATEST_FILES = 5


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Show the page."""
    return _page(request)


@require_POST
def place_order(request: HttpRequest) -> HttpResponse:
    """Store an order and the job that charges it, both or neither."""
    form = OrderForm(request.POST)
    if not form.is_valid():
        return _page(request, order_form=form)
    with transaction.atomic():
        order = form.save()
        ChargeOrder.enqueue(order_id=order.pk)
    messages.success(request, f"Thank you. Order {order.number} is on its way to be paid.")
    return redirect("index")


@require_POST
def upload_orders(request: HttpRequest) -> HttpResponse:
    """Keep a file of orders, and enqueue its import."""
    form = OrderFileForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, file_form=form)
    order_file = start_import(form.cleaned_data["file"].name, form.content)
    messages.success(request, f"{order_file.name}: {order_file.row_count:,} orders to import.")
    return redirect("index")


def _page(request: HttpRequest, **forms: OrderForm | OrderFileForm) -> HttpResponse:
    context = {
        "order_form": OrderForm(),
        "file_form": OrderFileForm(),
        "columns": COLUMNS,
        "orders": Order.objects.all()[:LATEST_ORDERS],
        "totals": _totals(),
        "files": _latest_files(),
    }
    return render(request, "shop/index.html", context | forms, status=422 if forms else 200)


def _totals() -> dict[str, int]:
    paid = Q(state=Order.State.PAID)
    return Order.objects.aggregate(
        placed=Count("pk"),
        paid=Count("pk", filter=paid),
        receipted=Count("pk", filter=paid & Q(receipt_sent_at__isnull=False)),
    )


def _latest_files():
    rows = OrderFile.objects.annotate(
        read_count=Count("rows"), problem_count=Count("rows", filter=~Q(rows__problem=""))
    )
    return rows.order_by("-pk")[:LATEST_FILES]
