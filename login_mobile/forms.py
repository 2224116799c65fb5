"""The forms of the pages: fields, labels and hints. What was entered is judged by ``login_mobile.api``."""

import math
from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from .api import CodeStatus
from .countries import calling_code, described


class PageForm(forms.Form):
    """A form whose errors come from a refusal."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.use_required_attribute = False  # the browser's own complaints are in its language, and ours say more

    def refuse(self, field: str, message: str | Promise) -> None:
        """Show why a field's value is refused, at that field."""
        self.full_clean()
        self.errors.pop(field, None)
        self.add_error(field, forms.ValidationError(str(message)))


class RegionSelect(forms.Select):
    """Tells the script the calling code of each country."""

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        option = super().create_option(name, value, *args, **kwargs)
        option["attrs"]["data-calling-code"] = calling_code(str(value))
        return option


class CodeInput(forms.PasswordInput):
    """A code is readable while it is typed, and no page repeats it."""

    input_type = "text"


class PhoneForm(PageForm):
    """A number: its country, and how it is written there; or with plus, and the country is in it."""

    region = forms.CharField(
        label=_("Country or region"),
        required=False,
        widget=RegionSelect(attrs={"data-region": "", "autocomplete": "country"}),
    )
    phone = forms.CharField(
        label=_("Phone number"),
        widget=forms.TelInput(attrs={"autocomplete": "tel", "data-phone": "", "autofocus": True}),
        error_messages={"required": _("Enter your phone number.")},
    )

    def __init__(self, regions: Sequence[str], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["region"].widget.choices = [(region, described(region)) for region in regions]
        self.fields["region"].initial = regions[0] if regions else ""
        #: The name of the country where there is but one.
        self.only_region = described(regions[0]) if len(regions) == 1 else ""


class CodeForm(PageForm):
    """The code from the text."""

    code = forms.CharField(
        label=_("Code"),
        widget=CodeInput(
            attrs={
                "autocomplete": "one-time-code",
                "inputmode": "numeric",
                "autocapitalize": "off",
                "autocorrect": "off",
                "spellcheck": "false",
                "enterkeyhint": "done",
                "class": "login-code",
                "autofocus": True,
            }
        ),
        error_messages={"required": _("Enter the code from the text.")},
    )

    @classmethod
    def of(cls, status: CodeStatus, data: Any = None) -> "CodeForm":
        """The form for a code, which says how long it is and for how long it is valid."""
        form = cls(data)
        field, minutes = form.fields["code"], math.ceil(status.expires_in / 60)
        field.widget.attrs["data-code-length"] = status.code_length
        words = ngettext("Valid for %(count)d minute.", "Valid for %(count)d minutes.", minutes)
        field.help_text = words % {"count": minutes}
        return form


class NicknameForm(PageForm):
    """What a new user is to be called."""

    nickname = forms.CharField(
        label=_("Nickname"),
        help_text=_("Up to 30 characters."),
        widget=forms.TextInput(attrs={"autocomplete": "nickname", "autofocus": True}),
        error_messages={"required": _("Please choose a nickname.")},
    )


class PasswordForm(PageForm):
    """The account's password, to confirm who it is."""

    password = forms.CharField(
        label=_("Password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        error_messages={"required": _("Enter your password.")},
    )
