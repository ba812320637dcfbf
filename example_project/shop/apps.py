"""The shop's app configuration."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """The tea shop."""

    name = "shop"
    verbose_name = "Tea shop"
