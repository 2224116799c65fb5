"""Templates: what a text says, and under which code a service knows it."""

from collections.abc import Mapping

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..choices import Purpose
from ..exceptions import InvalidParams, UnusableTemplate
from ..params import MAX_LENGTH
from ..placeholders import placeholder_names, validate_names, validate_placeholders
from ..validators import validate_template_key
from .services import SmsService

#: The variables that a purpose allows and those that it needs; other purposes leave both open.
PURPOSE_VARIABLES: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    Purpose.OTP: (frozenset({"code", "minutes"}), frozenset({"code"})),
    Purpose.APPROVAL: (frozenset({"processTitle", "userNick"}), frozenset({"processTitle", "userNick"})),
    Purpose.CC: (frozenset({"processTitle", "userNick"}), frozenset({"processTitle", "userNick"})),
}


class SmsTemplate(models.Model):
    """What a text says: the wording with ``${name}`` placeholders, its purpose, and its codes on platforms.

    An unsaved instance may be sent too, for a text that nobody will use again.
    """

    key = models.SlugField(
        _("key"),
        max_length=50,
        unique=True,
        validators=[validate_template_key],
        help_text=_("The name that code and commands use for this template."),
    )
    name = models.CharField(_("name"), max_length=100)
    text = models.TextField(
        _("text"),
        blank=True,
        max_length=MAX_LENGTH,
        validators=[validate_placeholders],
        help_text=_(
            "Write variables as ${name}. For Alibaba Cloud enter the registered wording: it is what the log shows, "
            "and its variables are checked before sending."
        ),
    )
    purpose = models.CharField(_("purpose"), max_length=20, choices=Purpose.choices, default=Purpose.NOTIFICATION)
    variables = models.CharField(
        _("variables"),
        max_length=255,
        blank=True,
        help_text=_("Only for a template without text: the names of the registered template's variables, with commas."),
    )

    class Meta:
        verbose_name = _("SMS template")
        verbose_name_plural = _("SMS templates")
        ordering = ("name", "pk")

    def __str__(self) -> str:
        return self.name or self.key or str(_("Text without a template"))

    def clean(self) -> None:
        super().clean()
        validate_names(self.variable_names)
        names = set(self.variable_names)
        allowed, needed = PURPOSE_VARIABLES.get(self.purpose, (names, frozenset()))
        if unknown := sorted(names - allowed):
            raise ValidationError(
                {
                    self._wording_field: _(
                        "A template for “%(purpose)s” cannot use %(names)s. It may use: %(allowed)s."
                    )
                    % {
                        "purpose": self.get_purpose_display(),
                        "names": _spelled(unknown),
                        "allowed": _spelled(sorted(allowed)),
                    }
                }
            )
        if missing := sorted(needed - names):
            raise ValidationError(
                {
                    self._wording_field: _("A template for “%(purpose)s” needs %(names)s.")
                    % {"purpose": self.get_purpose_display(), "names": _spelled(missing)}
                }
            )

    @property
    def _wording_field(self) -> str:
        return "text" if self.text else "variables"

    @property
    def variable_names(self) -> tuple[str, ...]:
        """The variables that every sending must give: those of the text, or the declared ones."""
        if self.text:
            return placeholder_names(self.text)
        return tuple(dict.fromkeys(name.strip() for name in self.variables.split(",") if name.strip()))

    def check_params(self, params: Mapping[str, str]) -> None:
        """Raise ``InvalidParams`` unless the variables are exactly the template's."""
        names = set(self.variable_names)
        if missing := sorted(names - set(params)):
            raise InvalidParams(
                gettext("The template “%(template)s” also needs: %(names)s.")
                % {"template": self, "names": ", ".join(missing)}
            )
        if unknown := sorted(set(params) - names):
            raise InvalidParams(
                gettext("The template “%(template)s” has no variable %(names)s. It takes: %(known)s.")
                % {"template": self, "names": ", ".join(unknown), "known": ", ".join(sorted(names)) or "-"}
            )

    def code_for(self, service: SmsService) -> str:
        """The code under which a service knows this template; empty for a service that sends text.

        Raises:
            UnusableTemplate: the service needs a code and has none, or needs a text and there is none.
        """
        if not service.sends_by_code:
            if not self.text:
                raise UnusableTemplate(
                    gettext("The template “%(template)s” has no text, and “%(service)s” sends texts. Enter one.")
                    % {"template": self, "service": service}
                )
            return ""
        code = self.codes.filter(service_id=service.pk).values_list("code", flat=True).first() if self.pk else None
        if code is None:
            raise UnusableTemplate(
                gettext(
                    "The template “%(template)s” has no template code for “%(service)s”, which sends by code. "
                    "Add the code that the platform shows for it."
                )
                % {"template": self, "service": service}
            )
        return code


class TemplateCode(models.Model):
    """The code under which a service's platform knows a template."""

    template = models.ForeignKey(SmsTemplate, models.CASCADE, related_name="codes", verbose_name=_("template"))
    service = models.ForeignKey(SmsService, models.PROTECT, related_name="template_codes", verbose_name=_("service"))
    code = models.CharField(_("code"), max_length=64, help_text=_("As the platform shows it, for example SMS_123456."))

    class Meta:
        verbose_name = _("template code")
        verbose_name_plural = _("template codes")
        constraints = [
            models.UniqueConstraint(fields=["template", "service"], name="one_code_per_template_and_service"),
            models.UniqueConstraint(fields=["service", "code"], name="one_template_per_service_and_code"),
        ]

    def __str__(self) -> str:
        return self.code


def _spelled(names: list[str]) -> str:
    return ", ".join(f"${{{name}}}" for name in names)
