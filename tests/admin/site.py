"""The admin as tests use it: addresses, and people with permissions."""

from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.urls import reverse


def list_url(model, **filters):
    """Return the address of the list of *model*, a name such as ``failedjob``."""
    return reverse(f"admin:jobflow_{model}_changelist", query=filters or None)


def page_url(row, page="change"):
    """Return the address of the page of *row*, or of what can be done there."""
    return reverse(f"admin:jobflow_{row._meta.model_name}_{page}", args=[quote(row.pk)])


def superuser():
    return get_user_model().objects.create_superuser("root", "root@shop.example", "root")


def user_with(*codenames):
    """Return a member of the staff with these permissions of the app and no other."""
    user = get_user_model().objects.create_user("clerk", "clerk@shop.example", is_staff=True)
    permissions = Permission.objects.filter(
        content_type__app_label="jobflow", codename__in=codenames
    )
    assert len(codenames) == len(permissions)
    user.user_permissions.set(permissions)
    return user


def said(response):
    """Return the messages that *response*, or the page that it led to, shows."""
    return [str(message) for message in get_messages(response.wsgi_request)]


def act(client, address, action, rows, **more):
    """Choose *action* for *rows* in the list at *address*, and follow to what comes of it."""
    data = {"action": action, "index": 0, "_selected_action": [row.pk for row in rows]}
    return client.post(address, data | more, follow=True)
