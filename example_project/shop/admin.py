"""The operator's view of the shop: its orders, and the rows that have to be mended."""

from django.contrib import admin
from django.db import models
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html

from shop.models import ImportedRow, Order, OrderFile
from shop.order_files import COLUMNS


class ProblemFilter(admin.SimpleListFilter):
    """Rows that are no orders, or those that are."""

    title = "problem"
    parameter_name = "problem"

    def lookups(self, request, model_admin):
        """Offer the two kinds."""
        return [("yes", "to be mended"), ("no", "none")]

    def queryset(self, request, queryset):
        """Keep the rows of the chosen kind."""
        if self.value() == "yes":
            return queryset.exclude(problem="")
        return queryset.filter(problem="") if self.value() == "no" else queryset


@admin.register(ImportedRow)
class ImportedRowAdmin(admin.ModelAdmin):
    """Rows of order files. Mend the values, save, then retry the failed job."""

    list_display = ["__str__", "order_number", "name", "problem"]
    list_filter = [ProblemFilter, "file"]
    list_select_related = ["file"]
    search_fields = ["order_number", "name", "email"]
    readonly_fields = ["file", "line", "problem", "failed_job"]
    fields = [("file", "line"), "problem", "failed_job", *COLUMNS, "surplus"]
    formfield_overrides = {models.TextField: {"widget": admin.widgets.AdminTextInputWidget}}

    def has_add_permission(self, request):
        """Refuse: rows come from files."""
        return False

    @admin.display(description="Failed job")
    def failed_job(self, row):
        """Link to the job that is to be retried."""
        if row.job_id is None:
            return "-"
        try:
            address = reverse("admin:jobflow_failedjob_change", args=[row.job_id])
        except NoReverseMatch:
            return row.job_id
        return format_html('<a href="{}">Job {}</a>', address, row.job_id)


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    """Orders. What was paid for stays as it is."""

    list_display = ["number", "placed_at", "name", "total_text", "state", "receipt_sent_at"]
    list_filter = ["state", "currency", "country"]
    search_fields = ["number", "name", "email"]
    raw_id_fields = ["row"]

    def get_readonly_fields(self, request, order=None):
        """Leave the address open until the order is paid."""
        address = {"name", "email", "street", "city", "postcode", "country"}
        is_open = order is not None and order.state != Order.State.PAID
        every = [field.name for field in Order._meta.fields]
        return [name for name in every if not (is_open and name in address)]

    def has_add_permission(self, request):
        """Refuse: orders are placed on the page or come from files."""
        return False


@admin.register(OrderFile)
class OrderFileAdmin(admin.ModelAdmin):
    """Order files, as they came."""

    list_display = ["name", "row_count", "received_at"]
    fields = readonly_fields = ["name", "row_count", "received_at"]

    def has_add_permission(self, request):
        """Refuse: a file comes in by the page, where it is checked and its import enqueued."""
        return False
