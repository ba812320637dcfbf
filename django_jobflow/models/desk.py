"""What has a page in the admin and no table of its own.

As proxies they have permissions of their own and an address in the admin; their rows mean
nothing.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from django_jobflow.models.records import JobRecord, Worker


class Queue(JobRecord):
    """The queues, for their pages in the admin."""

    class Meta:
        proxy = True
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        default_permissions = ("view",)
        permissions = [("purge_queue", _("Can empty queues"))]


class Key(JobRecord):
    """The keys that jobs hold and wait for, for their page in the admin."""

    class Meta:
        proxy = True
        verbose_name = _("key")
        verbose_name_plural = _("keys")
        default_permissions = ("view",)


class Configuration(Worker):
    """The settings in force and the declared jobs, for their page in the admin."""

    class Meta:
        proxy = True
        verbose_name = _("settings in force")
        verbose_name_plural = _("settings in force")
        default_permissions = ("view",)
