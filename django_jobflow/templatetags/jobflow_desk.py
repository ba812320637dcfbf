"""What the templates of the desk ask for beside the context of their page."""

from __future__ import annotations

from typing import Any

from django import template

from django_jobflow.admin import desk

register = template.Library()


@register.inclusion_tag("jobflow/_navigation.html", takes_context=True)
def desk_navigation(context: Any) -> dict[str, Any]:
    """Show links to the pages of the desk that the user may see."""
    return {"groups": desk.groups(context["request"])}
