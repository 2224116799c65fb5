"""SMS services: accounts at providers, each kind a model of its own with that provider's fields."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.validators import (
    MaxLengthValidator,
    MaxValueValidator,
    MinLengthValidator,
    MinValueValidator,
    RegexValidator,
)
from django.db import models, router
from django.utils.translation import gettext_lazy as _
from polymorphic.models import PolymorphicModel

from ..compiled import fetch
from ..conf import get_settings
from ..fields import EncryptedTextField
from ..providers.alibaba_cloud import AlibabaCloudConfiguration, AlibabaCloudProvider
from ..providers.aws_sns import AwsSnsConfiguration, AwsSnsProvider
from ..providers.base import Provider, Verification
from ..providers.sandbox import SandboxProvider
from ..providers.twilio import TwilioConfiguration, TwilioProvider
from ..validators import validate_access_key, validate_account_sid, validate_region, validate_sender, validate_signature
from .signatures import RegisteredSignature

if TYPE_CHECKING:
    from .messages import SmsMessage
    from .templates import SmsTemplate


class SmsService(PolymorphicModel):
    """One configured account at a provider: what an admin edits, and what texts leave through.

    A kind names its ``provider_class``, the field of its account id (``account_field``) and that of its secret
    (``secret_field``), and builds the provider's configuration.
    """

    key = models.SlugField(
        _("key"), max_length=50, unique=True, help_text=_("The name that code and commands use for this service.")
    )
    name = models.CharField(_("name"), max_length=100)
    is_active = models.BooleanField(
        _("active"), default=True, help_text=_("An inactive service refuses to send. Nothing is deleted.")
    )
    max_per_second = models.PositiveIntegerField(
        _("messages per second"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(100_000)],
        help_text=_(
            "The most messages that may leave in a second, over all processes and hosts. A fifth of it is kept for "
            "one-time codes (the setting OTP_SHARE); other texts share the rest. Empty: unlimited."
        ),
    )

    price_per_segment = models.DecimalField(
        _("price per segment"),
        max_digits=9,
        decimal_places=5,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=_("For estimates only. Empty: no estimates."),
    )
    currency = models.CharField(
        _("currency"),
        max_length=3,
        blank=True,
        validators=[RegexValidator(r"^[A-Z]{3}\Z", _("Three capital letters, such as USD."))],
        help_text=_("ISO 4217, for example USD."),
    )

    #: The limit as it stands in the database, to notice when it changes.
    _stored_limit: int | None = None

    provider_class: ClassVar[type[Provider]]
    account_field: ClassVar[str] = ""
    secret_field: ClassVar[str] = ""

    class Meta:
        verbose_name = _("SMS service")
        verbose_name_plural = _("SMS services")
        ordering = ("name", "pk")
        permissions = [
            ("verify_smsservice", _("Can verify the credentials of SMS services")),
            ("send_test_smsservice", _("Can send test texts through SMS services")),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def account(self) -> str:
        """What a look-up at the provider depends on: the account's id; empty where there is none."""
        return str(getattr(self, self.account_field)) if self.account_field else ""

    @property
    def sends_by_code(self) -> bool:
        """Whether texts leave as a template code with variables instead of as text."""
        return self.provider_class.sends_by_code

    @property
    def problem(self) -> str | None:
        """Why no text can leave through this service now, in words for a person; ``None`` if it may."""
        return None

    def keep_verification(self, answer: Verification) -> None:
        """Remember of the provider's answer what decides whether texts can leave."""

    def provider_configuration(self) -> Any:
        """Everything that the provider is built from; it is built anew when this changes."""
        raise TypeError(f"{type(self).__name__} is no kind of SMS service that can send.")

    def build_provider(self) -> Provider:
        """A provider of this configuration, not connected. For sending, ``providers.get_provider`` keeps one."""
        return self.provider_class(self.provider_configuration())  # type: ignore[call-arg]

    def send_message(
        self,
        phone_numbers: str | Iterable[str],
        template: "SmsTemplate | str",
        params: Mapping[str, str] | None = None,
        *,
        purpose: str | None = None,
    ) -> "list[SmsMessage]":
        """Send a text now, through this service. See ``sms_services.api.send_message``."""
        from ..api import send_message

        return send_message(self, phone_numbers, template, params, purpose=purpose)

    def save(self, *args: Any, **kwargs: Any) -> None:
        limit_changed = self.pk is not None and self.max_per_second != self._stored_limit
        super().save(*args, **kwargs)
        self._stored_limit = self.max_per_second
        if limit_changed:
            from ..delivery.pacing import leave_line

            leave_line(self.pk)

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> "SmsService":
        service: SmsService = super().from_db(*args, **kwargs)
        service._stored_limit = service.__dict__.get("max_per_second")
        return service

    def _connection_settings(self) -> dict[str, Any]:
        settings = get_settings()
        return {
            "endpoint_url": settings.ENDPOINT_URLS.get(self.provider_class.name, ""),
            "connect_timeout": settings.CONNECT_TIMEOUT,
            "read_timeout": settings.READ_TIMEOUT,
        }


#: The kind of each service that this process has read, by primary key and by key: a row's kind never changes.
_known_kinds: dict[int | str, type[SmsService]] = {}


def current_service(identity: int | str) -> SmsService | None:
    """The row of a service as it is now, with its own kind; ``None`` if there is none.

    Every send reads it, so it takes one query instead of polymorphic's two, once this process knows the kind.

    Args:
        identity: a primary key, or a key.
    """
    lookup = {"key" if isinstance(identity, str) else "id": identity}
    kind = _known_kinds.get(identity)
    using = router.db_for_write(SmsService)
    service = fetch(kind, using, **lookup) if kind else None
    if service is None:
        service = SmsService.objects.using(using).filter(**lookup).first()
    if service is not None:
        _known_kinds[identity] = type(service)
    return service


class AlibabaCloudSms(RegisteredSignature, SmsService):
    """An Alibaba Cloud SMS account. It sends template codes that were registered on the platform."""

    access_key = models.CharField(
        _("access key"),
        max_length=128,
        validators=[validate_access_key],
        help_text=_("RAM console › Users › AccessKey: the AccessKey ID. The user needs AliyunDysmsFullAccess."),
    )
    access_secret = EncryptedTextField(
        _("access secret"), help_text=_("Shown once by the RAM console, when the AccessKey is created.")
    )
    verify_sign = models.CharField(
        _("signature"),
        max_length=30,
        validators=[MinLengthValidator(2), MaxLengthValidator(12), validate_signature],
        help_text=_("SMS console › Signatures: the name of an approved signature, 2 to 12 characters, without 【】."),
    )

    provider_class = AlibabaCloudProvider
    account_field = "access_key"
    secret_field = "access_secret"

    class Meta:
        verbose_name = _("Alibaba Cloud SMS")
        verbose_name_plural = _("Alibaba Cloud SMS")

    def provider_configuration(self) -> AlibabaCloudConfiguration:
        return AlibabaCloudConfiguration(
            access_key=self.access_key,
            access_secret=self.access_secret,
            verify_sign=self.verify_sign,
            **self._connection_settings(),
        )


class AwsSnsSms(SmsService):
    """An AWS account that publishes texts through SNS."""

    access_key = models.CharField(
        _("access key"),
        max_length=128,
        validators=[validate_access_key],
        help_text=_(
            "IAM console › Users › Security credentials: the access key ID. The user needs sns:Publish; to verify the "
            "key here, also sns:GetSMSAttributes."
        ),
    )
    secret_key = EncryptedTextField(
        _("secret key"), help_text=_("Shown once by the IAM console, when the access key is created.")
    )
    region = models.CharField(
        _("region"),
        max_length=30,
        validators=[validate_region],
        help_text=_("At the top right of the AWS console; SMS must be set up in this region (SNS › Mobile)."),
    )

    provider_class = AwsSnsProvider
    account_field = "access_key"
    secret_field = "secret_key"

    class Meta:
        verbose_name = _("AWS SNS SMS")
        verbose_name_plural = _("AWS SNS SMS")

    def provider_configuration(self) -> AwsSnsConfiguration:
        return AwsSnsConfiguration(
            access_key=self.access_key,
            secret_key=self.secret_key,
            region=self.region,
            threads=get_settings().THREADS,
            **self._connection_settings(),
        )


class TwilioSms(SmsService):
    """A Twilio account."""

    account_sid = models.CharField(
        _("account SID"),
        max_length=34,
        validators=[validate_account_sid],
        help_text=_("Twilio console › Account info: “AC” and 32 hexadecimal digits."),
    )
    auth_token = EncryptedTextField(_("auth token"), help_text=_("Twilio console › Account info, below the SID."))
    from_number = models.CharField(
        _("from number"),
        max_length=34,
        validators=[validate_sender],
        help_text=_(
            "Twilio console › Phone numbers › Active numbers, in any notation; or an alphanumeric sender ID; or a "
            "messaging service's SID (MG…)."
        ),
    )

    provider_class = TwilioProvider
    account_field = "account_sid"
    secret_field = "auth_token"

    class Meta:
        verbose_name = _("Twilio SMS")
        verbose_name_plural = _("Twilio SMS")

    @property
    def account(self) -> str:
        return f"{self.account_sid} {self.from_number}"

    def provider_configuration(self) -> TwilioConfiguration:
        return TwilioConfiguration(
            account_sid=self.account_sid,
            auth_token=self.auth_token,
            from_number=self.from_number,
            threads=get_settings().THREADS,
            **self._connection_settings(),
        )


class SandboxSms(SmsService):
    """A service for development and demonstrations: texts arrive in the sandbox inbox, and nowhere else."""

    provider_class = SandboxProvider

    class Meta:
        verbose_name = _("Sandbox SMS")
        verbose_name_plural = _("Sandbox SMS")

    def provider_configuration(self) -> int:
        return self.pk

    def build_provider(self) -> Provider:
        from .sandbox import SandboxMessage

        return SandboxProvider(SandboxMessage.inbox_of(self.pk))
