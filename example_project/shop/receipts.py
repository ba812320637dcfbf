"""The mail that answers a paid order."""

from email.headerregistry import Address

from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.utils.encoding import punycode

from shop.catalogue import COUNTRIES, PRODUCTS
from shop.models import Order


def receipt_for(order: Order) -> EmailMessage:
    """Return the receipt for *order*, ready to be sent.

    Its Message-ID depends on the order alone, so that a second copy can be told from a second
    receipt.
    """
    text = render_to_string(
        "shop/receipt.txt",
        {"order": order, "product": PRODUCTS[order.sku], "country": COUNTRIES[order.country]},
    )
    return EmailMessage(
        subject=f"Your receipt for order {order.number}",
        body=text,
        to=[_addressed(order.name, order.email)],
        headers={"Message-ID": f"<receipt-{order.number}@tea.example>"},
    )


def _addressed(name: str, email: str) -> str:
    user, _, domain = email.rpartition("@")
    return str(Address(name, addr_spec=f"{user}@{punycode(domain)}"))
