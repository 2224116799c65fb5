"""The forms of the admin pages."""

from typing import Any

from django import forms
from django.utils.functional import lazy
from django.utils.translation import gettext_lazy as _

from ..exceptions import InvalidPhoneNumber, MissingSDK
from ..models import SmsMessage, SmsService, SmsTemplate, TemplateCode
from ..phone_numbers import normalize, notation_help
from ..providers.aws_sns import available_regions
from .keys import MakesKeys


class ServiceForm(MakesKeys):
    """A service's form: a secret is never shown, blank keeps it, and another account needs its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        secret = self.instance.secret_field
        if secret in self.fields and self.instance.pk:
            self.fields[secret].required = False

    def kind(self) -> str:
        return self.instance.provider_class.name

    def full_clean(self) -> None:
        super().full_clean()
        secret = self.instance.secret_field
        if self.is_bound and self.errors and self.cleaned_data.get(secret):
            words = _("Enter it again: it was not stored, because something else has to be corrected first.")
            self.add_error(secret, forms.ValidationError(words, code="enter_again"))

    def clean_currency(self) -> str:
        currency: str = self.cleaned_data["currency"].upper()
        if not currency and self.cleaned_data.get("price_per_segment") is not None:
            raise forms.ValidationError(_("Enter the currency of the price."), code="currency")
        return currency

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        account, secret = self.instance.account_field, self.instance.secret_field
        changed = self.instance.pk and account in self.changed_data
        if changed and secret in self.fields and not self.cleaned_data.get(secret):
            self.add_error(
                secret,
                forms.ValidationError(
                    _("The %(account)s has changed. Enter the %(secret)s that belongs to it."),
                    code="secret_of_other_account",
                    params={
                        "account": self.instance._meta.get_field(account).verbose_name,
                        "secret": self.instance._meta.get_field(secret).verbose_name,
                    },
                ),
            )
        return cleaned


class AlibabaCloudForm(ServiceForm):
    def clean_verify_sign(self) -> str:
        """What is between the brackets, where somebody copied a signature as texts show it."""
        signature: str = self.cleaned_data["verify_sign"]
        return signature.strip("【】[] ")


class TwilioForm(ServiceForm):
    def clean_from_number(self) -> str:
        """A number with its country's code in E.164, all else as it is: the default region is of the recipients."""
        sender: str = self.cleaned_data["from_number"]
        try:
            return normalize(sender, region="")
        except InvalidPhoneNumber:
            return sender


class AwsSnsForm(ServiceForm):
    """Offers the regions that the installed SDK knows; without the SDK, a text field that says what to install."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "region" not in self.fields:
            return
        try:
            regions = available_regions()
        except MissingSDK as error:
            self.fields["region"].help_text = str(error)
            return
        stored = [self.instance.region] if self.instance.region and self.instance.region not in regions else []
        choices = [(region, region) for region in [*stored, *sorted(regions)]]
        self.fields["region"].widget = forms.Select(choices=[("", "---------"), *choices])


class TemplateForm(MakesKeys):
    def kind(self) -> str:
        return self.cleaned_data.get("purpose") or "template"


class TemplateCodeForm(forms.ModelForm):
    """A code: what the platform said of another one does not hold for it."""

    def save(self, commit: bool = True) -> Any:
        if self.instance.pk and {"code", "service"} & set(self.changed_data):
            self.instance.forget_platform()
        return super().save(commit)


class TemplateChoiceField(forms.ModelChoiceField):
    """Templates to choose from for one service; those that it cannot send now say so."""

    def __init__(self, service: SmsService, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        codes = TemplateCode.objects.filter(service_id=service.pk)
        self.marks = {code.template_id: code.get_platform_status_display() for code in codes if code.problem}

    def label_from_instance(self, template: Any) -> str:
        mark = self.marks.get(template.pk)
        return f"{template} ({mark})" if mark else str(template)


class TemplateCodeFormSet(forms.BaseInlineFormSet):
    """A template needs a text, or a code on at least one platform."""

    def clean(self) -> None:
        super().clean()
        codes = [form for form in self.forms if form.cleaned_data and not form.cleaned_data.get("DELETE")]
        if not self.instance.text and not codes:
            raise forms.ValidationError(
                _("Enter a text above, or the template code of at least one service that sends by code."),
                code="empty",
            )


class TestMessageForm(forms.Form):
    """Number, template and that template's variables, for a test through one service; maybe the next one ``after``."""

    phone_number = forms.CharField(
        label=_("Phone number"),
        max_length=40,
        widget=forms.TextInput(attrs={"type": "tel", "autocomplete": "off", "class": "vTextField"}),
        help_text=lazy(notation_help, str)(),
    )

    def __init__(self, service: SmsService, *args: Any, after: SmsMessage | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.service = service
        self.fields["template"] = TemplateChoiceField(
            service, label=_("Template"), queryset=usable_templates(service), empty_label=None
        )
        self.chosen = self._chosen_template()
        hidden = after.hidden_names if after else ()
        for name in self.chosen.variable_names if self.chosen else ():
            self.fields[f"variable_{name}"] = forms.CharField(
                label=name,
                max_length=200,
                strip=False,
                widget=forms.TextInput(attrs={"class": "vTextField"}),
                help_text=_("Sensitive, so it was not kept. Enter it again.") if name in hidden else "",
            )

    def _chosen_template(self) -> SmsTemplate | None:
        field = self.fields["template"]
        given = self.data.get("template") or self.initial.get("template")
        try:
            return field.clean(given) if given else field.queryset.first()  # type: ignore[attr-defined]
        except forms.ValidationError:
            return None

    def clean_phone_number(self) -> str:
        try:
            return normalize(self.cleaned_data["phone_number"])
        except InvalidPhoneNumber as error:
            raise forms.ValidationError(str(error)) from None

    def clean_template(self) -> SmsTemplate:
        template: SmsTemplate = self.cleaned_data["template"]
        if problem := template.problem_with(self.service):
            raise forms.ValidationError(problem)
        return template

    @property
    def params(self) -> dict[str, str]:
        names = self.chosen.variable_names if self.chosen else ()
        return {name: self.cleaned_data[f"variable_{name}"] for name in names}


def usable_templates(service: SmsService) -> Any:
    """The templates that a service can send."""
    if service.sends_by_code:
        return SmsTemplate.objects.filter(pk__in=TemplateCode.objects.filter(service=service).values("template"))
    return SmsTemplate.objects.exclude(text="")
