"""The two forms of the shop's page."""

import uuid

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from shop.catalogue import COUNTRIES, PRODUCTS
from shop.models import Order
from shop.order_files import BadOrderFile, check_order_file

LARGEST_FILE = 10 * 1024 * 1024  # bytes


class OrderForm(forms.ModelForm):
    """One order, placed on the page; paid in euro at the price of the catalogue."""

    country = forms.ChoiceField(choices=COUNTRIES)
    sku = forms.ChoiceField(
        label="Product", choices={sku: str(product) for sku, product in PRODUCTS.items()}
    )
    quantity = forms.IntegerField(min_value=1, max_value=999, initial=1)

    class Meta:
        model = Order
        fields = ["name", "email", "street", "city", "postcode", "country", "sku", "quantity"]

    def save(self, commit: bool = True) -> Order:
        """Give the order its number, its time and its price."""
        order = self.instance
        order.number = f"W-{uuid.uuid4().hex[:12].upper()}"
        order.placed_at = timezone.now()
        order.unit_price, order.currency = PRODUCTS[order.sku].price, "EUR"
        return super().save(commit)


class OrderFileForm(forms.Form):
    """A CSV of orders."""

    file = forms.FileField(
        label="CSV file", widget=forms.FileInput(attrs={"accept": ".csv,text/csv"})
    )

    def clean_file(self):
        """Read the file from end to end, so that nothing is stored of one that is broken."""
        file = self.cleaned_data["file"]
        if file.size > LARGEST_FILE:
            raise ValidationError(
                f"The file has {file.size:,} bytes. It may have at most {LARGEST_FILE:,}."
            )
        self.content = file.read()
        try:
            check_order_file(self.content)
        except BadOrderFile as error:
            raise ValidationError(str(error)) from error
        return file
