"""Configurations of the login: through what codes leave, for whom, and within which limits."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import IntegrityError, connections, models, router, transaction
from django.db.models import Case, Q, Value, When
from django.utils.translation import gettext_lazy as _

from sms_services.choices import Purpose as TextPurpose
from sms_services.conf import get_settings as get_sms_settings
from sms_services.models import SmsService, SmsTemplate

from ..choices import RecycledPolicy

#: What a code's text may hold.
VARIABLES = frozenset({"code", "minutes"})
#: The least and the most of what an admin can change.
BOUNDS = {
    "code_length": (6, 8),
    "code_minutes": (1, 10),
    "attempts_per_code": (1, 10),
    "failures_per_hour": (1, 100),
    "failures_per_day": (1, 100),
    "send_pause": (30, 3600),
    "sends_per_hour": (1, 60),
    "sends_per_day": (1, 200),
    "address_sends_per_hour": (1, 10_000),
    "address_sends_per_day": (1, 100_000),
    "address_verifications": (1, 10_000),
    "cap_per_day": (1, 10_000_000),
    "cap_per_country": (1, 10_000_000),
    "cap_per_prefix": (1, 10_000),
    "pause_below_percent": (0, 100),
    "pause_country_after": (10, 10_000),
    "pause_prefix_after": (10, 10_000),
    "recycled_after_days": (1, 3650),
}


def default_regions() -> list[str]:
    """The project's default region."""
    region = get_sms_settings().DEFAULT_REGION
    return [region] if region else []


def validate_regions(regions: Any) -> None:
    """Refuse whatever is not a list of ISO 3166 codes, each once."""
    from phonenumbers import SUPPORTED_REGIONS

    if not isinstance(regions, list) or not regions:
        raise ValidationError(_("Choose at least one country."), code="empty")
    unknown = [str(region) for region in regions if str(region) not in SUPPORTED_REGIONS]
    if unknown:
        raise ValidationError(
            _("No numbers are known for %(regions)s. Use ISO codes of two letters, such as US or CN."),
            code="unknown",
            params={"regions": ", ".join(unknown[:5])},
        )
    if len(set(map(str, regions))) < len(regions):
        raise ValidationError(_("Each country stands in the list once."), code="twice")


def _limit(field: str, name: Any, default: int, help_text: Any = "") -> Any:
    """A number within its bounds, which the form says and the database holds."""
    least, most = BOUNDS[field]
    return models.PositiveIntegerField(
        name,
        default=default,
        validators=[MinValueValidator(least), MaxValueValidator(most)],
        help_text=help_text,
    )


class MobileLoginQuerySet(models.QuerySet["MobileLogin"]):
    def with_setup(self) -> "MobileLoginQuerySet":
        """With all that ``problems`` reads. A service comes as its own kind only if it is not joined."""
        return self.select_related("template", "notice_template").prefetch_related(
            "sms_service", "template__codes", "notice_template__codes"
        )


class MobileLogin(models.Model):
    """One configuration of the login by phone number, for a site or a front end; one of them is the default.

    What is counted for a phone or an address is counted over all configurations, lest several of them multiply the
    limits; each compares the sum with its own. The caps of a day are each configuration's own budget.
    """

    key = models.SlugField(
        _("key"), max_length=50, unique=True, help_text=_("The name by which front ends ask for this login.")
    )
    name = models.CharField(_("name"), max_length=100)
    is_active = models.BooleanField(
        _("active"), default=True, help_text=_("Switched off, it sends nothing and lets nobody in. Nothing is deleted.")
    )
    is_default = models.BooleanField(
        _("default"), default=False, help_text=_("Used where a front end names none. There is one default.")
    )

    sms_service = models.ForeignKey(
        SmsService, models.PROTECT, related_name="mobile_logins", verbose_name=_("SMS service")
    )
    template = models.ForeignKey(
        SmsTemplate,
        models.PROTECT,
        related_name="mobile_logins",
        verbose_name=_("template"),
        help_text=_("A template for one-time codes with ${code}, and if you like ${minutes}."),
    )
    notice_template = models.ForeignKey(
        SmsTemplate,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("template of the notice"),
        help_text=_(
            "Tells the old number that it was changed or removed; without variables. Empty: a text of ours, through "
            "services that send texts; those that send by code send no notice then."
        ),
    )

    regions = models.JSONField(
        _("countries"),
        default=default_regions,
        validators=[validate_regions],
        help_text=_("ISO codes of the countries whose mobile numbers may be used. The first one is chosen beforehand."),
    )
    allow_registration = models.BooleanField(
        _("registration"), default=True, help_text=_("An unknown number makes a new account.")
    )
    ask_nickname = models.BooleanField(_("ask for a nickname"), default=False, help_text=_("At registration."))
    allow_staff = models.BooleanField(
        _("staff may log in"),
        default=False,
        help_text=_("A phone number is a weak proof: texts can be intercepted, and numbers ported."),
    )

    code_length = _limit("code_length", _("digits of a code"), 6, _("Services that send by code take 6 at most."))
    code_minutes = _limit("code_minutes", _("minutes a code is valid"), 5)
    attempts_per_code = _limit("attempts_per_code", _("attempts per code"), 5)
    failures_per_hour = _limit(
        "failures_per_hour", _("wrong codes per number and hour"), 10, _("Over all codes; a new one resets nothing.")
    )
    failures_per_day = _limit("failures_per_day", _("wrong codes per number and day"), 20)

    send_pause = _limit("send_pause", _("seconds between two codes"), 60, _("To one number."))
    sends_per_hour = _limit("sends_per_hour", _("codes per number and hour"), 5)
    sends_per_day = _limit("sends_per_day", _("codes per number and day"), 10)
    address_sends_per_hour = _limit(
        "address_sends_per_hour", _("codes per address and hour"), 10, _("IPv6 by /64; a /48 has ten times as many.")
    )
    address_sends_per_day = _limit("address_sends_per_day", _("codes per address and day"), 50)
    address_verifications = _limit("address_verifications", _("entered codes per address in 5 minutes"), 30)
    cap_per_day = _limit("cap_per_day", _("codes per day"), 5_000, _("Of this login in all, whoever asks."))
    cap_per_country = _limit(
        "cap_per_country",
        _("codes per day and country"),
        2_000,
        _("Browsers that have logged in with their numbers before have as many again."),
    )
    cap_per_prefix = _limit(
        "cap_per_prefix",
        _("codes per day and prefix"),
        50,
        _(
            "Numbers that differ in their last four digits only. Browsers that have logged in with their numbers "
            "before have as many again."
        ),
    )
    pause_below_percent = _limit(
        "pause_below_percent",
        _("least share of used codes"),
        10,
        _("In per cent. A country or prefix of whose codes fewer are used pauses itself. 0: never."),
    )
    pause_country_after = _limit(
        "pause_country_after", _("codes by which a country is judged"), 200, _("The newest ones.")
    )
    pause_prefix_after = _limit("pause_prefix_after", _("codes by which a prefix is judged"), 30, _("The newest ones."))

    recycled_after_days = _limit(
        "recycled_after_days",
        _("days without a login"),
        90,
        _("After them a number alone does not open its account: see below."),
    )
    recycled_policy = models.CharField(
        _("a number unused for so long opens"),
        max_length=20,
        choices=RecycledPolicy.choices,
        default=RecycledPolicy.SECOND_PROOF,
    )

    #: At most one is the default: 1 for it, empty for all others.
    default_mark = models.GeneratedField(
        expression=Case(When(is_default=True, then=Value(1)), default=Value(None)),
        output_field=models.SmallIntegerField(null=True),
        db_persist=True,
    )

    objects = MobileLoginQuerySet.as_manager()

    class Meta:
        verbose_name = _("mobile login")
        verbose_name_plural = _("mobile logins")
        ordering = ("name", "pk")
        permissions = [
            ("switch_mobilelogin", _("Can switch mobile logins on and off")),
            ("send_test_mobilelogin", _("Can send test codes")),
            ("view_figures_mobilelogin", _("Can view the figures of mobile logins")),
            ("unblock_mobilelogin", _("Can lift the limits of phone numbers and addresses")),
        ]
        constraints = [
            models.UniqueConstraint(fields=["default_mark"], name="one_default_login"),
            # One, because validating each takes a query. Which field it is, the fields' own validators say.
            models.CheckConstraint(
                condition=Q(**{f"{field}__range": bounds for field, bounds in BOUNDS.items()}),
                name="login_in_bounds",
                violation_error_message=_("A number of this login is below its least value or above its greatest."),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *, using: str | None = None, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        using = using or router.db_for_write(MobileLogin, instance=self)
        if update_fields is not None:
            update_fields = frozenset(update_fields)
        kwargs |= {"using": using, "update_fields": update_fields}
        if not self.is_default or (update_fields is not None and "is_default" not in update_fields):
            super().save(**kwargs)
            return
        try:
            self._save_as_default(**kwargs)
        except IntegrityError:
            self._save_as_default(**kwargs)  # somebody made another one the default at the same moment

    def _save_as_default(self, *, using: str, **kwargs: Any) -> None:
        """Save it in the place of the default there was."""
        rows = MobileLogin.objects.using(using)
        with transaction.atomic(using=using):
            # Those who do the same at this moment wait for one another, all at the same rows.
            no_key = connections[using].features.has_select_for_no_key_update  # codes of these logins do not wait
            list(rows.select_for_update(no_key=no_key).order_by("pk").values_list("pk"))
            rows.filter(is_default=True).exclude(pk=self.pk).update(is_default=False)
            super().save(using=using, **kwargs)

    def validate_constraints(self, exclude: Collection[str] | None = None) -> None:
        """All but the one default: ``save`` makes this the default in the place of the other."""
        super().validate_constraints({*(exclude or ()), "default_mark"})

    def clean(self) -> None:
        super().clean()
        errors: dict[str, list[ValidationError]] = {}
        for field, problem in self._problems():
            errors.setdefault(field, []).append(ValidationError(problem, code="unusable"))
        if errors:
            raise ValidationError(errors)

    def problems(self) -> list[str]:
        """Why no code can leave now, in words for an admin; empty if nothing is known to be wrong."""
        found = [str(problem) for _field, problem in self._problems()]
        templates = [template for template in (self.template, self.notice_template) if template is not None]
        found += [problem for template in templates if (problem := template.unapproved_by(self.sms_service))]
        if not self.sms_service.is_active:
            found.append(
                str(_("The SMS service “%s” is deactivated, so no code leaves. Activate it.") % self.sms_service)
            )
        return list(dict.fromkeys(found))

    def _problems(self) -> Iterator[tuple[str, Any]]:
        """Fields and what cannot work about them."""
        service = self.sms_service if self.sms_service_id else None
        template = self.template if self.template_id else None
        if service and template:
            yield from self._problems_of_template(service, template)
        if service and self.notice_template:
            yield from self._problems_of_notice(service, self.notice_template)
        if service and service.sends_by_code and self.code_length and self.code_length > 6:
            yield "code_length", _("“%s” takes codes of 6 digits at most. Enter 6.") % service
        for longer, shorter in (
            ("failures_per_day", "failures_per_hour"),
            ("sends_per_day", "sends_per_hour"),
            ("address_sends_per_day", "address_sends_per_hour"),
        ):
            if (getattr(self, longer) or 0) < (getattr(self, shorter) or 0):
                yield longer, _("A day's limit cannot be lower than an hour's.")

    def _problems_of_template(self, service: SmsService, template: SmsTemplate) -> Iterator[tuple[str, Any]]:
        if template.purpose != TextPurpose.OTP:
            yield (
                "template",
                _("The template “%s” is not for one-time codes, whose variables are never stored readably. "
                  "Change its purpose, or choose another.") % template,
            )  # fmt: skip
        if (missing := template.missing_for(service)) is not None:
            yield "template", missing
        names = set(template.variable_names)
        if "code" not in names:
            yield (
                "template",
                _("The template “%s” has no place for the code. Write ${code} where it belongs.") % template,
            )
        if "minutes" in names and not template.text:
            yield (
                "template",
                _("${minutes} can be filled in where the text has it. Take it out of the variables of “%s”.")
                % template,
            )
        if unknown := sorted(names - VARIABLES):
            yield (
                "template",
                _("Only ${code} and ${minutes} can be filled in, but the template “%(template)s” has %(names)s.")
                % {"template": template, "names": ", ".join(f"${{{name}}}" for name in unknown)},
            )

    def _problems_of_notice(self, service: SmsService, template: SmsTemplate) -> Iterator[tuple[str, Any]]:
        if (missing := template.missing_for(service)) is not None:
            yield "notice_template", missing
        if template.variable_names:
            yield "notice_template", _("The notice has no variables. Take them out of “%s”.") % template

    @property
    def default_region(self) -> str:
        """The country of numbers that are written without one; empty if there is none."""
        return self.regions[0] if self.regions else ""
