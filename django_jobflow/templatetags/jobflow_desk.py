"""What the templates of the desk ask for beside the context of their page."""

from __future__ import annotations

from typing import Any

from django import forms, template

from django_jobflow.admin import desk, overview

register = template.Library()


@register.inclusion_tag("jobflow/_navigation.html", takes_context=True)
def desk_navigation(context: Any) -> dict[str, Any]:
    """Show links to the pages of the desk that the user may see."""
    return {"groups": desk.groups(context["request"])}


@register.inclusion_tag("jobflow/_overview.html", takes_context=True)
def desk_overview(context: Any) -> dict[str, Any]:
    """Show how each queue is doing."""
    return overview.page(context["request"])


@register.simple_tag(takes_context=True)
def may_see_overview(context: Any) -> bool:
    """Say whether the user may see how the queues are doing."""
    return bool(context["request"].user.has_perm(overview.PERMISSION))


@register.simple_tag
def overview_media() -> forms.Media:
    """Return the styles and scripts of the overview, all of them files of the app."""
    scripts: list[Any] = [
        forms.Script("jobflow/vendor/uPlot.iife.min.js", defer=True),
        forms.Script("jobflow/overview.js", defer=True),
    ]
    return forms.Media(css={"all": ["jobflow/vendor/uPlot.min.css"]}, js=scripts)
