"""The members of a department: pages by position, a search, and people put in and taken out. Never all of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from sms_services.error_pages import private_post

from ..directory import Link
from ..directory import members as links
from ..models import Department
from ..rows import database, users
from .fields import FoundManyField, Refreshable
from .finding import USERS, user_label
from .paging import Page, page_of_keys, parsed_key

__all__ = ["Members", "links", "member_count"]

PAGE = 100
#: People whose name begins with what is searched for; with more of them, one has to type more.
MOST_FOUND = 1_000


class AddMembersForm(Refreshable, forms.Form):
    """People to put in."""

    def __init__(self, admin_site: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["users"] = FoundManyField(USERS, admin_site, required=False, label=gettext_lazy("Add people"))
        self.find()


class Members:
    """For the departments' admin: the page of the members."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.members_view)  # type: ignore[attr-defined]
        urls: list[Any] = super().get_urls()  # type: ignore[misc]
        return [path("<int:pk>/members/", view, name="notifications_department_members"), *urls]

    @private_post()
    def members_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """A page of members. A POST puts people in (``add``) or takes those that are marked out (``remove``)."""
        department = get_object_or_404(Department, pk=pk)
        if not self.has_view_permission(request, department):  # type: ignore[attr-defined]
            raise PermissionDenied
        may_change = self.has_change_permission(request, department)  # type: ignore[attr-defined]
        here = reverse("admin:notifications_department_members", args=[pk])
        form = AddMembersForm(self.admin_site)  # type: ignore[attr-defined]
        if request.method == "POST":
            if not may_change:
                raise PermissionDenied
            form = AddMembersForm(self.admin_site, request.POST)  # type: ignore[attr-defined]
            if "remove" in request.POST:
                self._remove(request, department)
                return HttpResponseRedirect(here)
            if form.is_valid():
                self._add(request, department, form.cleaned_data["users"])
                return HttpResponseRedirect(here)
        page = _members_page(department, request)
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": _("Members"),
            "subtitle": str(department),
            "opts": Department._meta,
            "department": department,
            "total": member_count([department.pk]),
            "form": form,
            "media": form.media,
            "may_change": may_change,
            "page": page,
            "search": request.GET.get("q", ""),
        }
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        return TemplateResponse(request, "admin/notifications/department/members.html", context)

    def _add(self, request: HttpRequest, department: Department, chosen: Iterable[Any]) -> None:
        link = links()
        present = set(link.to([department.pk]).filter(**{f"{link.user}__in": chosen}).values_list(link.user, flat=True))
        new = [user for user in chosen if user.pk not in present]
        if not new:
            nobody = _("All of them belong to this department already.") if chosen else _("Choose whom to add first.")
            messages.info(request, nobody)
            return
        # Somebody else may put in the same people at this moment.
        link.model._base_manager.using(database()).bulk_create(
            [link.model(**{link.user: user.pk, link.other: department.pk}) for user in new], ignore_conflicts=True
        )
        words = ngettext("%(count)d person added.", "%(count)d people added.", len(new))
        self._record(request, department, words, [user.pk for user in new])

    def _remove(self, request: HttpRequest, department: Department) -> None:
        link = links()
        keys = [key for key in map(parsed_key, request.POST.getlist("member")) if key is not None]
        marked = link.to([department.pk]).filter(**{f"{link.user}__in": keys})
        with transaction.atomic(using=database()):
            # Of two who remove the same people at this moment, one removes them.
            gone = list(marked.select_for_update().values_list(link.user, flat=True))
            marked.delete()
        if not gone:
            nobody = _("None of them belongs to this department any more.") if keys else _("Mark whom to remove first.")
            messages.info(request, nobody)
            return
        words = ngettext("%(count)d person removed.", "%(count)d people removed.", len(gone))
        self._record(request, department, words, gone)

    def _record(self, request: HttpRequest, department: Department, words: str, pks: Sequence[Any]) -> None:
        words %= {"count": len(pks)}
        # No names: a host project may use phone numbers as user names.
        keys = ", ".join(str(pk) for pk in pks[:10])
        words_and_keys = f"{words} ({keys}{', …' if len(pks) > 10 else ''})"
        self.log_change(request, department, words_and_keys)  # type: ignore[attr-defined]
        messages.success(request, words)


def member_count(department_ids: Sequence[int]) -> int:
    """How many rows link users to these departments."""
    return links().to(department_ids).count()


@dataclass(frozen=True)
class Member:
    pk: str
    label: str
    is_active: bool


def _members_page(department: Department, request: HttpRequest) -> Page[Member]:
    """In the order of the users' primary keys, which the table's index has."""
    link: Link = links()
    rows = link.to([department.pk])
    query = request.GET.get("q", "").strip()[:150].replace("\x00", "")
    too_many = False
    if query:
        found, too_many = users_named(query)
        rows = rows.filter(**{f"{link.user}__in": found})
    page = page_of_keys(rows.values_list(link.user, flat=True), link.user, request, size=PAGE)
    people = {user.pk: user for user in users().filter(pk__in=page.rows)}
    shown = [
        Member(str(pk), user_label(people[pk]), bool(getattr(people[pk], "is_active", True)))
        for pk in page.rows
        if pk in people
    ]
    return page.showing(shown, too_many=too_many)


def users_named(query: str) -> tuple[list[Any], bool]:
    """The primary keys of users whose user name begins with this, and whether there are too many to look at."""
    name = get_user_model().USERNAME_FIELD
    found = list(users().filter(**{f"{name}__startswith": query}).values_list("pk", flat=True)[: MOST_FOUND + 1])
    return found[:MOST_FOUND], len(found) > MOST_FOUND
