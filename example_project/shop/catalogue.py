"""What the shop sells, where it sends it, and in which money it is paid."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Product:
    """One article.

    Attributes:
        price: In euro.
    """

    sku: str
    title: str
    price: Decimal

    def __str__(self) -> str:
        return f"{self.title}, {self.price} EUR"


PRODUCTS = {
    sku: Product(sku, title, Decimal(price))
    for sku, title, price in (
        ("TEA-ASM-100", "Assam Mokalbari, 100 g", "7.90"),
        ("TEA-DJF-100", "Darjeeling first flush, 100 g", "14.50"),
        ("TEA-EGR-100", "Earl Grey, 100 g", "6.40"),
        ("TEA-FRI-250", "East Frisian blend, 250 g", "9.80"),
        ("TEA-GYO-050", "Gyokuro, 50 g", "19.90"),
        ("TEA-KEE-100", "Keemun, 100 g", "8.70"),
        ("TEA-LAP-100", "Lapsang souchong, 100 g", "9.20"),
        ("TEA-MAT-030", "Ceremonial matcha, 30 g", "24.00"),
        ("TEA-OOL-100", "Tie Guan Yin oolong, 100 g", "12.60"),
        ("TEA-PUE-357", "Pu-erh cake, 357 g", "38.00"),
        ("TEA-ROO-250", "Rooibos, 250 g", "8.10"),
        ("TEA-SEN-100", "Sencha, 100 g", "11.30"),
        ("POT-GLS-080", "Glass pot, 0.8 l", "29.90"),
        ("POT-IRN-060", "Cast-iron pot, 0.6 l", "54.00"),
        ("CUP-POR-002", "Two porcelain cups", "18.40"),
        ("ACC-SIE-001", "Fine steel sieve", "7.20"),
    )
}

COUNTRIES = {
    "DE": "Germany",
    "ES": "Spain",
    "FR": "France",
    "GB": "United Kingdom",
    "IT": "Italy",
    "JP": "Japan",
    "NL": "Netherlands",
    "PL": "Poland",
    "SE": "Sweden",
    "US": "United States",
}

DECIMALS = {"EUR": 2, "GBP": 2, "JPY": 0, "PLN": 2, "SEK": 2, "USD": 2}
"""The currencies that the shop takes, each with its number of decimal places."""


def minor_units(amount: Decimal, currency: str) -> int:
    """Return *amount* in the smallest unit of *currency*: cents, or yen."""
    return int(amount.scaleb(DECIMALS[currency]))


def money(amount: Decimal, currency: str) -> str:
    """Return *amount* as people read it: with its currency, and as many decimals as that has."""
    return f"{amount:.{DECIMALS[currency]}f} {currency}"
