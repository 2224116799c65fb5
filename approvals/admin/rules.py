"""Who a node is for: its rules, as rows of the node's page."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext_lazy as _

from ..choices import RuleSource
from ..models import Rule
from ..models.processes import SOURCE_FIELDS
from ..registry import resolver_choices
from .people import KIND_OF_FIELD, Finding, name_together, people_field


class RuleForm(Finding, forms.ModelForm):
    """One rule. Only what its kind needs is kept."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "resolver" in self.fields:
            self.fields["resolver"] = registered_field("resolver", Rule, resolver_choices(), self.instance.resolver)
        self.find()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        source = cleaned.get("source")
        needed = SOURCE_FIELDS.get(RuleSource(source)) if source else None
        for name in set(SOURCE_FIELDS.values()) - {needed}:
            if name in cleaned:
                cleaned[name] = None if name in KIND_OF_FIELD else ""
        return cleaned


class RuleFormSet(forms.BaseInlineFormSet):
    @cached_property
    def forms(self) -> list[Any]:
        rules: list[Any] = super().forms
        name_together(rules)
        return rules


class RuleInline(admin.StackedInline):
    model = Rule
    form = RuleForm
    formset = RuleFormSet
    fields = (
        (
            "source",
            "user",
            "department",
            "include_subdepartments",
            "group",
            "subject_field",
            "resolver",
            "position",
        ),
    )
    verbose_name = _("person or group")
    verbose_name_plural = _("Who is asked, or gets a copy")

    def get_queryset(self, request: HttpRequest) -> Any:
        """With what each rule is called by."""
        return super().get_queryset(request).select_related("user", "department", "group")

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return 0 if obj is not None and obj.rules.exists() else 1

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in KIND_OF_FIELD:
            return people_field(db_field, self.admin_site)
        return super().formfield_for_dbfield(db_field, request, **kwargs)


def registered_field(name: str, model: Any, choices: list[tuple[str, Any]], stored: str) -> forms.ChoiceField:
    """A choice among the functions that the project registers. One that it registers no more stays visible."""
    field = model._meta.get_field(name)
    if stored and stored not in dict(choices):
        choices = [*choices, (stored, _("%(name)s (not registered)") % {"name": stored})]
    return forms.ChoiceField(
        choices=[("", "---------"), *choices],
        required=False,
        label=capfirst(field.verbose_name),
        help_text=field.help_text if choices else format_lazy("{} {}", _("There is none yet."), field.help_text),
    )
