"""The forms of the admin pages."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from django import forms
from django.contrib.admin.widgets import FilteredSelectMultiple, RelatedFieldWidgetWrapper
from django.forms.models import ModelChoiceIterator
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from sms_services.choices import Purpose as TextPurpose
from sms_services.exceptions import InvalidPhoneNumber
from sms_services.models import SmsService, SmsTemplate
from sms_services.phone_numbers import MAX_LENGTH, normalize

from ..addresses import named
from ..countries import by_name, described
from ..models import MobileNumber, ReviewNumber
from ..models.logins import VARIABLES, default_regions

#: A review of an app takes days; a code that stands for years is a hole.
_LONGEST_REVIEW = timedelta(days=90)


def _countries() -> list[tuple[str, str]]:
    from phonenumbers import SUPPORTED_REGIONS

    return [(region, described(region)) for region in by_name(SUPPORTED_REGIONS)]


class CountriesSelect(FilteredSelectMultiple):
    """Two lists to choose from, in a box of their own: Django's script puts them first in whatever they are in."""

    def render(self, *args: Any, **kwargs: Any) -> SafeString:
        return format_html("<div>{}</div>", super().render(*args, **kwargs))


class ServiceField(forms.ModelChoiceField):
    """The service of a login; it may be activated later."""

    def label_from_instance(self, service: SmsService) -> str:
        return str(service) if service.is_active else _("%(service)s (deactivated)") % {"service": service}


class SuitableFirst(ModelChoiceIterator):
    """The templates that fit, and below a line that says what is the matter with them, the others.

    These can be chosen all the same, as a template can be mended; the form says then what is wrong with it.
    """

    def __iter__(self) -> Iterator[Any]:
        field: Any = self.field
        if field.empty_label is not None:
            yield "", field.empty_label
        others = []
        for template in self.queryset.all():
            if field.fits(template):
                yield self.choice(template)
            else:
                others.append(self.choice(template))
        if others:
            yield field.others, others


class CodeTemplateField(forms.ModelChoiceField):
    """The template of a login's codes."""

    iterator = SuitableFirst
    others = _("Not for codes")

    @staticmethod
    def fits(template: SmsTemplate) -> bool:
        names = set(template.variable_names)
        return template.purpose == TextPurpose.OTP and "code" in names and names <= VARIABLES


class AddsCodeTemplates(RelatedFieldWidgetWrapper):
    """The popup of “+” begins with the purpose that the template of a login needs."""

    def get_context(self, *args: Any) -> dict[str, Any]:
        context = super().get_context(*args)
        if "url_params" in context:
            context["url_params"] += f"&purpose={TextPurpose.OTP}"
        return context


class NoticeTemplateField(forms.ModelChoiceField):
    """The template of the notice to a number that was changed or removed."""

    iterator = SuitableFirst
    others = _("With variables, which a notice cannot have")

    @staticmethod
    def fits(template: SmsTemplate) -> bool:
        return not template.variable_names


class MobileLoginForm(forms.ModelForm):
    """A login: its countries are chosen by name, and the one that is chosen beforehand apart from the others."""

    regions = forms.MultipleChoiceField(
        label=_("Countries"),
        choices=_countries,
        widget=CountriesSelect(_("countries"), is_stacked=False),
        help_text=_("Mobile numbers of these countries may be used. Each more country is one more to pay texts for."),
        error_messages={"required": _("Choose at least one country.")},
    )
    first_region = forms.ChoiceField(
        label=_("Chosen beforehand"),
        choices=lambda: [("", "---------"), *_countries()],
        required=False,
        help_text=_("The country that the page shows first. Empty: the first one of the list."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "first_region" in self.fields:
            stored = self.instance.regions if self.instance.pk else default_regions()
            self.initial.setdefault("regions", stored)
            self.fields["first_region"].initial = stored[0] if stored else ""

        if "notice_template" in self.fields:
            # Beside a FilteredSelectMultiple, the popup of “+” cannot tell a second field of the same model about what
            # was added: Django's script fails then, and the popup stays open.
            field = self.fields["notice_template"]
            field.widget = getattr(field.widget, "widget", field.widget)
            field.widget.choices = field.choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        regions, first = cleaned.get("regions"), cleaned.get("first_region")
        if regions and first:
            if first not in regions:
                self.add_error(
                    "first_region", forms.ValidationError(_("This country is not among those above."), code="first")
                )
            else:
                cleaned["regions"] = [first, *(region for region in regions if region != first)]
        return cleaned


def _number_field() -> forms.CharField:
    return forms.CharField(
        label=_("Phone number"),
        max_length=MAX_LENGTH,
        widget=forms.TextInput(attrs={"type": "tel", "autocomplete": "off", "class": "vTextField"}),
        help_text=_("In any notation, with country code: +1 206 555 0100."),
    )


class NumberForm(forms.Form):
    """A phone number, in any notation."""

    phone_number = _number_field()

    def clean_phone_number(self) -> str:
        return _normalized(self.cleaned_data["phone_number"])


class LiftForm(NumberForm):
    """Whose limits begin anew: a number's, an address's, or both."""

    address = forms.CharField(
        label=_("IP address"),
        required=False,
        max_length=60,
        widget=forms.TextInput(attrs={"autocomplete": "off", "class": "vTextField", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, own_address: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["phone_number"].required = False
        self.fields["address"].help_text = _(
            "As the log of your web server has it; yours is %(address)s. Of an IPv6 address, its /64 begins anew, and "
            "what its /48 shares."
        ) % {"address": own_address}

    def clean_phone_number(self) -> str:
        return super().clean_phone_number() if self.cleaned_data["phone_number"] else ""

    def clean_address(self) -> str:
        address: str = self.cleaned_data["address"]
        if address and named(address) is None:
            raise forms.ValidationError(_("This is no IP address."), code="invalid")
        return address

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors and not any(cleaned.values()):
            raise forms.ValidationError(_("Enter a phone number, an IP address, or both."), code="required")
        return cleaned


class ReviewNumberForm(forms.ModelForm):
    """A number with a fixed code. Neither is shown again.

    ``tells_owners``: whoever fills it in may know whether somebody logs in with a number. A review number of such a
    number opens nothing, so nothing is lost if nobody is told.
    """

    tells_owners = False

    code = forms.RegexField(
        r"^[0-9]{6,8}\Z",
        label=_("Code"),
        max_length=8,
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "numeric"}),
        error_messages={
            "required": _("Enter a code."),
            "invalid": _("Enter 6 to 8 digits, as many as the login's codes have."),
        },
    )

    class Meta:
        model = ReviewNumber
        fields = ("login", "number", "code", "valid_until", "note")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["code"].required = False
            self.fields["code"].help_text = _("Only a hash of it is stored. Leave empty to keep it.")
        if "number" in self.fields:
            self.fields["number"] = _number_field()

    def clean_number(self) -> str:
        number = _normalized(self.cleaned_data["number"])
        if self.tells_owners and MobileNumber.objects.filter(number=number).exists():
            raise forms.ValidationError(
                _("Somebody has this number and logs in with it. Use a number that nobody has."), code="taken"
            )
        return number

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"]
        steps = {int(later) - int(digit) for digit, later in pairwise(code)}
        if code and len(steps) == 1 and steps <= {-1, 0, 1}:
            words = _("This is the first code that anybody would try. Choose another.")
            raise forms.ValidationError(words, code="easy")
        return code

    def clean_valid_until(self) -> datetime:
        until: datetime = self.cleaned_data["valid_until"]
        if until > timezone.now() + _LONGEST_REVIEW:
            raise forms.ValidationError(
                _("Choose a date within the next %(days)d days."), code="long", params={"days": _LONGEST_REVIEW.days}
            )
        return until

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        login = cleaned.get("login") or (self.instance.login if self.instance.pk else None)
        code = cleaned.get("code")
        if code and login and len(code) != login.code_length:
            self.add_error(
                "code",
                forms.ValidationError(
                    _("Codes of this login have %(length)d digits."),
                    code="length",
                    params={"length": login.code_length},
                ),
            )
        return cleaned

    def save(self, commit: bool = True) -> Any:
        if code := self.cleaned_data.get("code"):
            self.instance.set_code(code)
        return super().save(commit)


def _normalized(raw: str) -> str:
    try:
        return normalize(raw)
    except InvalidPhoneNumber as error:
        raise forms.ValidationError(str(error)) from None
