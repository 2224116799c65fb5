"""What the forms of presets and of notifications have in common: recipients, service, template, and its variables."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext as _

from sms_services.choices import Purpose
from sms_services.exceptions import UnusableTemplate
from sms_services.models import SmsService, SmsTemplate, TemplateCode

from .fields import TEXT, Refreshable
from .finding import KINDS, known_kinds


class Composing(Refreshable):
    """For a form with the fields ``service``, ``template``, ``variables`` and those of the recipients.

    Refreshed, it has the variables of the template that was chosen.
    """

    #: Whether what cannot be sent today, and may be tomorrow, is refused; else it is only warned of.
    refuses_for_now = True

    def prepare(self) -> None:
        """Let the fields follow what is chosen; to be called when all fields are there."""
        self.warnings: list[str] = []
        self.chosen_service: SmsService | None = _row(SmsService, self._given("service"))
        self.chosen_template: SmsTemplate | None = _row(SmsTemplate, self._given("template"))
        self._offer_services()
        self._offer_templates()
        names = self.chosen_template.variable_names if self.chosen_template else ()
        self.fields["variables"].follow(names, has_template=self.chosen_template is not None)  # type: ignore[attr-defined]
        self.find()

    @property
    def kinds(self) -> list[str]:
        return [kind for kind in known_kinds() if kind in self.fields]

    def chosen_recipients(self) -> dict[str, list[Any]]:
        """The primary keys that are chosen at the moment, by kind, checked or not."""
        return {kind: [row.pk for row in KINDS[kind].chosen(self._given_list(kind))] for kind in self.kinds}

    def includes_subdepartments(self) -> bool:
        return bool(self["include_subdepartments"].value())

    def shown_variables(self) -> Mapping[str, tuple[str, str]]:
        """Source and text of each variable, as they are at the moment."""
        given = self["variables"].value() or {}
        return {
            name: given.get(name, (TEXT, ""))
            for name in (self.chosen_template.variable_names if self.chosen_template else ())
        }

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not any(cleaned.get(kind) or kind in self.errors for kind in self.kinds):
            self.add_error(None, forms.ValidationError(_("Choose at least one recipient."), code="no_recipients"))
        service, template = cleaned.get("service"), cleaned.get("template")
        if service is not None and not service.is_active:
            self._for_now("service", _("“%(service)s” is deactivated. Activate it first.") % {"service": service})
        elif service is not None and service.problem:
            self._for_now("service", service.problem)
        if template is not None:
            self._check_template(service, template)
        return cleaned

    def _check_template(self, service: SmsService | None, template: SmsTemplate) -> None:
        if template.purpose == Purpose.OTP:
            self.add_error("template", _("One-time codes cannot be sent as a notification. Choose another template."))
        elif service is not None and (problem := _template_problem(template, service)):
            has_code = service.sends_by_code and template.codes.filter(service_id=service.pk).exists()
            if has_code:  # the platform may approve of it any day
                self._for_now("template", problem)
            else:
                self.add_error("template", problem)

    def _for_now(self, field: str, problem: str) -> None:
        if self.refuses_for_now:
            self.add_error(field, problem)
        else:
            self.warnings.append(problem)

    def _offer_services(self) -> None:
        rows = SmsService.objects.non_polymorphic().values_list("pk", "name", "is_active")
        choices = [
            (pk, name if is_active else _("%(service)s (deactivated)") % {"service": name})
            for pk, name, is_active in rows
        ]
        self.fields["service"].choices = [("", "---------"), *choices]  # type: ignore[attr-defined]

    def _offer_templates(self) -> None:
        """All but one-time codes, each with what keeps it from being sent through the service that is chosen."""
        marks: dict[int, str] = {}
        codes = {}
        if self.chosen_service is not None and self.chosen_service.sends_by_code:
            codes = {code.template_id: code for code in TemplateCode.objects.filter(service_id=self.chosen_service.pk)}
        rows = SmsTemplate.objects.exclude(purpose=Purpose.OTP)
        for template in rows:
            if self.chosen_service is None:
                continue
            if not self.chosen_service.sends_by_code:
                if not template.text:
                    marks[template.pk] = _("no text")
            elif template.pk not in codes:
                marks[template.pk] = _("no code for this service")
            elif codes[template.pk].problem:
                marks[template.pk] = str(codes[template.pk].get_platform_status_display())
        good = [(template.pk, str(template)) for template in rows if template.pk not in marks]
        others = [
            (template.pk, _("%(template)s (%(problem)s)") % {"template": template, "problem": marks[template.pk]})
            for template in rows
            if template.pk in marks
        ]
        self.fields["template"].choices = [("", "---------"), *good, *others]  # type: ignore[attr-defined]

    def _given(self, name: str) -> Any:
        value = self.data.get(name) if self.is_bound else self.get_initial_for_field(self.fields[name], name)
        return getattr(value, "pk", value)

    def _given_list(self, name: str) -> list[Any]:
        if self.is_bound:
            values: list[Any] = self.fields[name].widget.value_from_datadict(self.data, self.files, name) or []
            return values
        initial = self.get_initial_for_field(self.fields[name], name) or []
        return [getattr(value, "pk", value) for value in initial]


def split(variables: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Variables as they are stored: the literal ones, and the names of the fields that the others are read from."""
    literals = {name: value for name, value in variables.items() if isinstance(value, str)}
    return literals, {name: value.name for name, value in variables.items() if name not in literals}


def _template_problem(template: SmsTemplate, service: SmsService) -> str | None:
    """What is wrong with the template itself; what is wrong with the service is said there."""
    try:
        template.registration_for(service)
    except UnusableTemplate as problem:
        return str(problem)
    return None


def _row(model: Any, pk: Any) -> Any:
    text = str(pk or "")
    is_key = text.isascii() and text.isdecimal() and len(text) <= 18
    return model.objects.filter(pk=int(text)).first() if is_key else None
