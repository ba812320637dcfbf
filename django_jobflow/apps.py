"""The app's place in a project."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class JobflowConfig(AppConfig):
    name = "django_jobflow"
    label = "jobflow"
    verbose_name = _("Background jobs")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_jobflow import checks, conf

        checks.register_all()
        autodiscover_modules("jobs")
        if conf.foreign_task_backends():
            from django_jobflow.tasks.discovery import discover

            discover()
