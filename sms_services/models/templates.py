"""Templates: what a text says, and under which code a service knows it."""

from collections.abc import Callable, Mapping

from django.core.exceptions import ValidationError
from django.db import models, router
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..choices import Purpose, TemplateKind, TemplateStatus
from ..compiled import fetch
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
        permissions = [("import_smstemplate", _("Can import SMS templates from a provider"))]

    def __str__(self) -> str:
        return self.name or self.key or str(_("Unsaved template"))

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
            UnusableTemplate: as ``registration_for``.
        """
        return self.registration_for(service).code

    def registration_for(self, service: SmsService) -> "TemplateCode":
        """The row with the code under which a service knows this template, good for sending.

        For a service that sends text it is an empty one, unsaved.

        Raises:
            UnusableTemplate: the service needs a code and has none, or needs a text and there is none; or its
                platform does not approve of the template.
        """
        registration = self._found(service, self._stored_code)
        if registration.problem:
            raise UnusableTemplate(f"{self}: {registration.problem}")
        return registration

    def missing_for(self, service: SmsService) -> str | None:
        """What a service lacks to send this template, a code or a text, in words for a person; ``None``: nothing.

        Whether a platform approves of a code is another matter, which may change any day (``unapproved_by``).
        """
        try:
            self._found(service, self._known_code)
        except UnusableTemplate as problem:
            return str(problem)
        return None

    def problem_with(self, service: SmsService) -> str | None:
        """Why this template could not be sent through a service now, in words for a person; ``None`` if it can.

        For forms in which an admin chooses both: warn with it (and let who knows better go on, as an approval may
        come any day), while ``send_message`` and ``queue_message`` refuse. One query; none where the template's codes
        were prefetched.
        """
        if service.problem:
            return service.problem
        try:
            registration = self._found(service, self._known_code)
        except UnusableTemplate as problem:
            return str(problem)
        return f"{self}: {registration.problem}" if registration.problem else None

    def unapproved_by(self, service: SmsService) -> str | None:
        """``problem_with``, where nothing is missing: the platform does not approve of the template (yet)."""
        problem = self.problem_with(service)
        return problem if problem and self.missing_for(service) is None else None

    def _found(self, service: SmsService, code_of: "Callable[[SmsService], TemplateCode | None]") -> "TemplateCode":
        if not service.sends_by_code:
            if not self.text:
                raise UnusableTemplate(
                    gettext("The template “%(template)s” has no text, and “%(service)s” sends texts. Enter one.")
                    % {"template": self, "service": service}
                )
            return TemplateCode()
        registration = code_of(service)
        if registration is None:
            raise UnusableTemplate(
                gettext(
                    "The template “%(template)s” has no template code for “%(service)s”, which sends by code. "
                    "Add the code that the platform shows for it."
                )
                % {"template": self, "service": service}
            )
        return registration

    def _stored_code(self, service: SmsService) -> "TemplateCode | None":
        """As it is now: what an admin changes counts at once."""
        if not self.pk or not service.pk:
            return None
        using = router.db_for_read(TemplateCode, instance=self)
        return fetch(TemplateCode, using, template_id=self.pk, service_id=service.pk)

    def _known_code(self, service: SmsService) -> "TemplateCode | None":
        """As it was prefetched, if it was."""
        if "codes" in getattr(self, "_prefetched_objects_cache", ()):
            return next((row for row in self.codes.all() if row.service_id == service.pk), None)
        return self._stored_code(service)


class TemplateCode(models.Model):
    """The code under which a service's platform knows a template, and what the platform said of it when last asked."""

    template = models.ForeignKey(SmsTemplate, models.CASCADE, related_name="codes", verbose_name=_("template"))
    service = models.ForeignKey(SmsService, models.PROTECT, related_name="template_codes", verbose_name=_("service"))
    code = models.CharField(_("code"), max_length=64, help_text=_("As the platform shows it, for example SMS_123456."))
    platform_status = models.CharField(
        _("status on the platform"), max_length=12, choices=TemplateStatus.choices, blank=True, editable=False
    )
    platform_reason = models.CharField(_("platform's reason"), max_length=500, blank=True, editable=False)
    platform_kind = models.CharField(
        _("registered as"), max_length=16, choices=TemplateKind.choices, blank=True, editable=False
    )
    checked_at = models.DateTimeField(_("platform asked"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("template code")
        verbose_name_plural = _("template codes")
        constraints = [
            models.UniqueConstraint(fields=["template", "service"], name="one_code_per_template_and_service"),
            models.UniqueConstraint(fields=["service", "code"], name="one_template_per_service_and_code"),
        ]

    def __str__(self) -> str:
        return self.code

    @property
    def problem(self) -> str | None:
        """Why the platform would refuse this code, as far as is known; ``None`` if it may take it."""
        words = _PROBLEMS.get(self.platform_status)
        if words is None:
            return None
        said = gettext("Its reason: %s") % self.platform_reason if self.platform_reason else ""
        parts = (str(words) % {"code": self.code}, gettext("Then import the templates again."), said)
        return " ".join(part for part in parts if part)

    def forget_platform(self) -> None:
        """Take back what the platform said: it was of another code, or of another account's."""
        self.platform_status = self.platform_reason = self.platform_kind = ""
        self.checked_at = None


#: What to do about each status but the good ones.
_PROBLEMS: Mapping[str, str | Promise] = {
    TemplateStatus.PENDING: _(
        "The provider is still reviewing %(code)s (status: under review). Wait until it is approved."
    ),
    TemplateStatus.REJECTED: _("The provider has rejected %(code)s (status: rejected). Correct it in its console."),
    TemplateStatus.CANCELLED: _(
        "The review of %(code)s was cancelled (status: review cancelled). Submit it again in the provider's console."
    ),
    TemplateStatus.GONE: _(
        "The provider does not list %(code)s any more (status: no longer there). Register the template anew, or use "
        "another."
    ),
}


def _spelled(names: list[str]) -> str:
    return ", ".join(f"${{{name}}}" for name in names)
