"""Durations as people say them: a number of minutes, hours or days."""

from datetime import timedelta
from typing import Any

from django import forms
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
UNITS = {"days": _DAY, "hours": _HOUR, "minutes": _MINUTE}
_LABELS = [("minutes", _("minutes")), ("hours", _("hours")), ("days", _("days"))]


class DurationWidget(forms.MultiWidget):
    template_name = "admin/approvals/widgets/duration.html"

    def __init__(self, attrs: Any = None) -> None:
        number = forms.NumberInput(attrs={"min": 0, "step": "any"})
        super().__init__({"number": number, "unit": forms.Select(choices=_LABELS)}, attrs)

    def id_for_label(self, id_: str) -> str:
        return f"{id_}_0"

    def decompress(self, value: timedelta | None) -> list[Any]:
        """In the largest unit that gives a whole number."""
        if value is None:
            return [None, "hours"]
        name = next((name for name, unit in UNITS.items() if not value % unit), "minutes")
        number = value / UNITS[name]
        return [int(number) if number.is_integer() else round(number, 4), name]

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, value, attrs)
        context["widget"]["subwidgets"][1]["attrs"]["aria-label"] = _("Unit")
        return context


class DurationField(forms.MultiValueField):
    widget = DurationWidget

    def __init__(self, *, required: bool = True, **kwargs: Any) -> None:
        fields = (
            forms.FloatField(min_value=0, max_value=100_000, required=required),
            forms.ChoiceField(choices=_LABELS, required=False),
        )
        super().__init__(fields, required=required, require_all_fields=False, **kwargs)

    def compress(self, values: list[Any]) -> timedelta | None:
        if not values or values[0] is None:
            return None
        return values[0] * UNITS[values[1] or "hours"]


def duration_field(field: Any, help_text: Any) -> DurationField:
    """The form's field for a model's."""
    return DurationField(
        required=not field.blank,
        initial=field.default if field.has_default() else None,
        label=capfirst(field.verbose_name),
        help_text=help_text,
        validators=field.validators,
    )
