"""What the shop stores: the files that orders came in, their rows, and the orders."""

from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from shop.catalogue import minor_units, money
from shop.order_files import COLUMNS
from shop.rows import validate_one_line


class OrderFile(models.Model):
    """A CSV of orders, kept as it came so that its import can be restarted."""

    name = models.CharField(max_length=200, help_text="The file's name where it came from.")
    content = models.FileField(upload_to="orders/")
    row_count = models.PositiveIntegerField(help_text="Orders in the file.")
    received_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.name


class ImportedRow(models.Model):
    """One row of an order file, as raw text: what is wrong with it is mended here."""

    file = models.ForeignKey(OrderFile, models.PROTECT, related_name="rows")
    line = models.PositiveIntegerField(help_text="Where the row starts in the file, from 1.")
    order_number = models.TextField(blank=True)
    placed_at = models.TextField(blank=True)
    name = models.TextField(blank=True)
    email = models.TextField(blank=True)
    street = models.TextField(blank=True)
    city = models.TextField(blank=True)
    postcode = models.TextField(blank=True)
    country = models.TextField(blank=True)
    sku = models.TextField("SKU", blank=True)
    quantity = models.TextField(blank=True)
    unit_price = models.TextField(blank=True)
    currency = models.TextField(blank=True)
    surplus = models.TextField(
        blank=True, help_text="What the row holds beyond the last column; has to be empty."
    )
    problem = models.TextField(
        blank=True, help_text="Why the row is not an order; empty when it is one, or not yet read."
    )
    job_id = models.BigIntegerField(
        null=True, blank=True, help_text="The failed job, which is retried once the row is mended."
    )

    class Meta:
        ordering = ["pk"]
        constraints = [
            # Two executions of one import cannot both store a row.
            models.UniqueConstraint(fields=["file", "line"], name="shop_row_once_a_line"),
        ]

    def __str__(self) -> str:
        return f"line {self.line} of {self.file.name}"

    def values(self) -> dict[str, str]:
        """Return the raw text by column."""
        return {column: getattr(self, column) for column in COLUMNS}


class Order(models.Model):
    """An order of one product, from a file or from the shop's page."""

    class State(models.TextChoices):
        """How far the payment is."""

        PLACED = "PLACED", "waiting for payment"
        PAID = "PAID", "paid"
        REFUSED = "REFUSED", "payment refused"

    number = models.CharField(max_length=40, unique=True)
    row = models.OneToOneField(ImportedRow, models.PROTECT, null=True, blank=True)
    placed_at = models.DateTimeField()
    name = models.CharField(max_length=200, validators=[validate_one_line])
    email = models.EmailField(max_length=200)
    street = models.CharField(max_length=200, validators=[validate_one_line])
    city = models.CharField(max_length=200, validators=[validate_one_line])
    postcode = models.CharField(max_length=200, validators=[validate_one_line])
    country = models.CharField(max_length=2)
    sku = models.CharField("SKU", max_length=40)
    quantity = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1)])
    unit_price = models.DecimalField(max_digits=8, decimal_places=2)
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=10, choices=State, default=State.PLACED)
    charge_id = models.CharField(max_length=60, blank=True, help_text="The gateway's own id.")
    refusal = models.TextField(blank=True, help_text="Why the gateway refuses the payment.")
    paid_at = models.DateTimeField(null=True, blank=True)
    receipt_sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(quantity__gt=0), name="shop_order_of_something"),
            models.CheckConstraint(
                condition=Q(state="PAID", paid_at__isnull=False) & ~Q(charge_id="")
                | ~Q(state="PAID") & Q(charge_id="", paid_at=None, receipt_sent_at=None),
                name="shop_order_paid_by_a_charge",
            ),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def total(self) -> Decimal:
        """What is to be paid, in ``currency``."""
        return self.quantity * self.unit_price

    @property
    def total_text(self) -> str:
        return money(self.total, self.currency)

    @property
    def price_text(self) -> str:
        return money(self.unit_price, self.currency)

    @property
    def minor_total(self) -> int:
        """The total in the smallest unit of ``currency``."""
        return minor_units(self.total, self.currency)

    @property
    def is_receipted(self) -> bool:
        return self.receipt_sent_at is not None
