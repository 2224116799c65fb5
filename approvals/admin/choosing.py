"""What the forms of nodes and of other engines' nodes have in common: the SMS service and the template."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from sms_services.admin.preview import Preview
from sms_services.choices import Purpose
from sms_services.models import SmsService, SmsTemplate, TemplateCode

from ..sms import VARIABLES

#: What the preview says in the place of the variables.
SAMPLE_NICK = "Alex"


class ChoosesText:
    """For a form with the fields ``sms_service`` and ``sms_template``. What can be chosen follows what is chosen."""

    def prepare(self: Any) -> None:
        """To be called when all fields are there."""
        self.chosen_service: SmsService | None = row_of(SmsService.objects.all(), self._chosen_pk("sms_service"))
        self.chosen_template: SmsTemplate | None = row_of(offered_templates(), self._chosen_pk("sms_template"))
        services = SmsService.objects.non_polymorphic().values_list("pk", "name", "is_active")
        self.fields["sms_service"].choices = [("", "---------"), *map(_service_choice, services)]
        self.fields["sms_template"].choices = [("", "---------"), *self._template_choices()]

    def preview(self: Any, process_title: str) -> Preview | None:
        """The text as it will arrive, counted by the rules of the service that is chosen."""
        if self.chosen_template is None or not self.chosen_template.text:
            return None
        values = {"userNick": SAMPLE_NICK}
        if process_title:
            values["processTitle"] = process_title
        services = None if self.chosen_service is None else [self.chosen_service]
        return replace(Preview.of(self.chosen_template.text, values, services), samples=())

    def warnings(self: Any) -> list[str]:
        """What does not keep these two from being chosen, but from being used today."""
        found = []
        if self.chosen_service is not None and not self.chosen_service.is_active:
            found.append(
                _("“%(service)s” is deactivated: until it is active, nobody gets a text.")
                % {"service": self.chosen_service}
            )
        if self.chosen_service is not None and self.chosen_template is not None:
            found.extend(filter(None, [self.chosen_template.unapproved_by(self.chosen_service)]))
        return found

    def _chosen_pk(self: Any, name: str) -> Any:
        value = self.data.get(name) if self.is_bound else self.get_initial_for_field(self.fields[name], name)
        return getattr(value, "pk", value)

    def _template_choices(self: Any) -> Iterable[tuple[Any, str]]:
        """Those that can be used first; the others say what keeps them from it."""
        marks: dict[int, str] = {}
        rows = list(offered_templates())
        codes = {}
        by_code = self.chosen_service is not None and self.chosen_service.sends_by_code
        if by_code:
            codes = {code.template_id: code for code in TemplateCode.objects.filter(service_id=self.chosen_service.pk)}
        for template in rows:
            code = codes.get(template.pk)
            if set(template.variable_names) != set(VARIABLES):
                marks[template.pk] = _("other variables")
            elif by_code and code is None:
                marks[template.pk] = _("no code for this service")
            elif code is not None and code.problem:
                marks[template.pk] = str(code.get_platform_status_display())
            elif self.chosen_service is not None and not by_code and not template.text:
                marks[template.pk] = _("no text")
        good = [(template.pk, str(template)) for template in rows if template.pk not in marks]
        others = [
            (template.pk, _("%(template)s (%(problem)s)") % {"template": template, "problem": marks[template.pk]})
            for template in rows
            if template.pk in marks
        ]
        return [*good, *others]


def _service_choice(row: tuple[int, str, bool]) -> tuple[int, str]:
    pk, name, is_active = row
    return pk, name if is_active else _("%(service)s (deactivated)") % {"service": name}


def offered_templates() -> QuerySet[SmsTemplate]:
    """What can be chosen at all, and so be read here: no words of one-time codes."""
    return SmsTemplate.objects.exclude(purpose=Purpose.OTP)


def row_of(rows: QuerySet[Any], pk: Any) -> Any:
    """The row with this primary key, however it was given; ``None`` where there is none."""
    text = str(pk or "")
    is_key = text.isascii() and text.isdecimal() and len(text) <= 18
    return rows.filter(pk=int(text)).first() if is_key else None
