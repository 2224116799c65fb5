"""Fields by which users, departments and roles are chosen, searched while one types; without scripts as well."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, JsonResponse
from django.utils.text import capfirst

from notifications.admin.fields import FIND, FindOne, Refreshable
from notifications.admin.finding import DEPARTMENTS, KINDS, ROLES, USERS, found

#: What is chosen for each foreign key.
KIND_OF_FIELD = {"user": USERS, "escalate_to": USERS, "department": DEPARTMENTS, "group": ROLES}
#: Who may look for people: those who may say who approves.
_PERMISSIONS = tuple(f"approvals.{action}_{model}" for action in ("add", "change") for model in ("node", "rule"))


class Find(FindOne):
    url_name = "%s:approvals_find"


def people_field(field: Any, admin_site: Any) -> forms.ModelChoiceField:
    """The form's field for a foreign key in ``KIND_OF_FIELD``."""
    kind = KIND_OF_FIELD[field.name]
    return forms.ModelChoiceField(
        queryset=KINDS[kind].everything(),
        widget=Find(kind, admin_site),
        required=not field.blank,
        label=capfirst(field.verbose_name),
        help_text=field.help_text,
    )


class Finding(Refreshable):
    """A form with such fields, which may be one of several on its page."""

    def find(self) -> None:
        for name, field in self.fields.items():
            if isinstance(field.widget, Find):
                field.widget.find(str(self.data.get(f"{FIND}{self.add_prefix(name)}", "")))


def name_together(several: Iterable[forms.BaseForm]) -> None:
    """Name what is chosen in all of these forms by a query for each kind, instead of one for each form."""
    fields = defaultdict(list)
    for form in several:
        for name, field in form.fields.items():
            if isinstance(field.widget, Find):
                fields[field.widget.kind].append((field.widget, form[name].value()))
    for kind, chosen in fields.items():
        named = dict(KINDS[kind].labels(KINDS[kind].chosen(pk for _widget, pk in chosen)))
        for widget, _pk in chosen:
            widget.named = named


def find_view(request: HttpRequest) -> JsonResponse:
    """What the script of Django's autocomplete fields asks for."""
    if not any(request.user.has_perm(permission) for permission in _PERMISSIONS):
        raise PermissionDenied
    return found(request)
