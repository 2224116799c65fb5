"""Departments in admin: the tree as an indented list, a form with the department above, and the members on a page of
their own.

Treebeard's own admin lists one level and fetches the next one by script; this list needs none.
"""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..models import Department, NotificationPreset
from .fields import FoundOneField, Refreshable
from .finding import DEPARTMENTS, MOST_NAMED, USERS, department_names
from .members import Members, links, member_count

#: Deeper ones are indented no further.
_DEEPEST = 8


class DepartmentForm(Refreshable, forms.ModelForm):
    """A department, with the one above it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parent = Department.objects.get_parent(self.instance) if self.instance.pk else None
        if "parent" in self.fields and self.parent:
            self.initial["parent"] = self.parent.pk
        self.find()

    def clean_parent(self) -> Department | None:
        parent: Department | None = self.cleaned_data["parent"]
        if parent and self.instance.pk and (parent == self.instance or parent.is_descendant_of(self.instance)):
            raise forms.ValidationError(
                _("A department cannot lie below itself. Choose another one, or none."), code="below_itself"
            )
        if parent and len(parent.path) + self._height() > Department._meta.get_field("path").max_length:
            raise forms.ValidationError(_("The tree would become too deep."), code="too_deep")
        return parent

    def _height(self) -> int:
        """How much longer the paths of this department and of those below it are than that of the one above."""
        if not self.instance.pk:
            return Department.steplen
        below = Department.objects.get_descendants(self.instance, include_self=True)
        deepest = below.aggregate(depth=models.Max("depth"))["depth"]
        return (deepest - self.instance.depth + 1) * Department.steplen

    def save(self, commit: bool = True) -> Any:
        """Into its place in the tree, which is kept in the order of the names."""
        tree = Department.objects
        parent = self.cleaned_data.get("parent", self.parent)
        if self.instance._state.adding:
            if parent:
                return tree.add_child(parent, instance=self.instance)
            return tree.add_root(instance=self.instance)
        # Not the place in the tree: somebody else may have moved this department since it was read.
        self.instance.save(update_fields=("name", "head"))
        if {"parent", "name"} & set(self.changed_data):
            self.instance.refresh_from_db()
            if parent:
                tree.move(self.instance, parent, pos="sorted-child")
            else:
                tree.move(self.instance, tree.get_first_root_node(), pos="sorted-sibling")
            self.instance.refresh_from_db()
        return self.instance


@admin.register(Department)
class DepartmentAdmin(Members, admin.ModelAdmin):
    form = DepartmentForm
    list_display = ("indented_name", "head_name", "member_link")
    list_display_links = ("indented_name",)
    list_select_related = ("head",)
    list_per_page = 200
    sortable_by = ()
    ordering = ("path",)
    search_fields = ("name",)
    fields = ("name", "parent", "head", "member_link")
    readonly_fields = ("member_link",)

    class Media:
        css = {"all": ("notifications/admin.css",)}

    def get_queryset(self, request: HttpRequest) -> Any:
        link = links()
        counted = (
            link.model._base_manager.filter(**{link.other: models.OuterRef("pk")})
            .order_by()
            .values(link.other)
            .annotate(count=models.Count("pk"))
            .values("count")
        )
        return super().get_queryset(request).annotate(member_count=models.Subquery(counted))

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """With the field for the department above, which is not one of the model's."""
        parent = FoundOneField(
            DEPARTMENTS,
            self.admin_site,
            label=_("Above it"),
            required=False,
            help_text=_("The department that it is a part of. Empty: it stands at the top."),
        )
        bases = (self.form,)
        form = type("DepartmentForm", bases, {"parent": parent})
        return super().get_form(request, obj, change, **{**kwargs, "form": form})

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ("name", "parent", "head")
        return self.fields if self.has_change_permission(request, obj) else ("name", "head", "member_link")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """A new one has no page for its members yet."""
        hint = _("Save it first: its members are added on a page of their own.")
        return [(None, {"fields": self.get_fields(request, obj), **({} if obj else {"description": hint})})]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "head":
            return FoundOneField(USERS, self.admin_site, label=capfirst(db_field.verbose_name), required=False)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        """The form moves other rows too, so there is nothing that could be saved later."""
        return form.save(commit=True)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """It is saved already."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """There is none here: members have a page of their own."""

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[Any], list[str]]:
        """In numbers: a department may have a hundred thousand members, who stay."""
        roots = list(objs)
        below = models.Q(pk__in=())
        for department in roots:
            below |= models.Q(path__startswith=department.path)
        departments = Department.objects.filter(below).order_by("path")
        pks = list(departments.values_list("pk", flat=True))
        names = department_names(departments[:100])
        lines: list[Any] = [names[pk] for pk in pks[:100]]
        if len(pks) > len(lines):
            lines.append("…")
        presets = NotificationPreset.objects.filter(departments__in=pks).distinct()
        lines += [
            _("The preset “%(preset)s” stays, without what is deleted here.") % {"preset": preset}
            for preset in presets[:100]
        ]
        counts = {str(Department._meta.verbose_name_plural): len(pks)}
        if members := member_count(pks):
            counts[str(_("memberships"))] = members
        may_not = set() if self.has_delete_permission(request) else {str(Department._meta.verbose_name)}
        return lines, counts, may_not, _protecting(pks)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        """The tree reads only the paths; the heads that the list reads along are none of them."""
        queryset.select_related(None).delete()

    @admin.display(description=_("name"))
    def indented_name(self, department: Department) -> SafeString:
        level = min(department.depth, _DEEPEST)
        return format_html('<span class="department-level-{}">{}</span>', level, department.name)

    @admin.display(description=_("head"))
    def head_name(self, department: Department) -> str:
        return str(department.head or "-")

    @admin.display(description=_("members"))
    def member_link(self, department: Any) -> SafeString | str:
        if department.pk is None:
            return "-"
        url = reverse("admin:notifications_department_members", args=[department.pk])
        count = department.member_count or 0
        words = ngettext("%(count)d member", "%(count)d members", count) % {"count": count}
        return format_html('<a href="{}">{}</a>', url, words)


def _protecting(pks: list[int]) -> list[str]:
    """What keeps departments from being deleted: some rows of each kind, with what they are parts of."""
    lines = []
    for relation in Department._meta.get_fields(include_hidden=True):
        if getattr(relation, "on_delete", None) is not models.PROTECT:
            continue
        rows = relation.related_model._base_manager.filter(**{f"{relation.field.name}__in": pks}).order_by("pk")
        shown = [f"{capfirst(row._meta.verbose_name)}: {_place(row)}" for row in rows[: MOST_NAMED + 1]]
        lines += [*shown[:MOST_NAMED], "…"] if len(shown) > MOST_NAMED else shown
    return lines


def _place(row: Any) -> str:
    """A row after those with which it would go, as a step goes with its process."""
    names: list[str] = []
    while row is not None and len(names) < _DEEPEST:
        names.insert(0, str(row))
        owner = next((field for field in row._meta.concrete_fields if _goes_with(field)), None)
        row = getattr(row, owner.name) if owner else None
    return " › ".join(names)


def _goes_with(field: Any) -> bool:
    return field.is_relation and not field.null and field.remote_field.on_delete is models.CASCADE
