"""What an admin can do about a message that did not arrive."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from .choices import MessageStatus
from .delivery.delivering import SERVICE_INACTIVE, SERVICE_UNUSABLE
from .delivery.reconciling import NO_RECORD
from .delivery.sweeping import WORKER_LOST
from .models import SmsMessage, SmsService
from .providers.base import Provider

_OUR_CODES: Mapping[str, str | Promise] = {
    SERVICE_INACTIVE: _("The service was deactivated before the message left. Activate it, then send again."),
    SERVICE_UNUSABLE: _(
        "The service cannot send: its SDK is not installed, or its secret cannot be decrypted. The worker's log says "
        "which. The message stays queued until it can."
    ),
    WORKER_LOST: _("The worker died while it was sending. The message may have gone out; it is not sent again."),
    NO_RECORD: _("The provider has no record of this message: it was not sent. It is safe to send it again."),
}


def advice_for(message: SmsMessage) -> str | Promise:
    """One line for an admin, from the provider's error table; empty where nothing is wrong."""
    if not message.error_kind:
        return ""
    provider = SmsService.objects.get(pk=message.service_id).provider_class
    return advice_on(provider, message.status, message.error_kind, message.provider_code)


def advice_on(provider: type[Provider], status: str, error_kind: str, code: str) -> str | Promise:
    """The same for all messages of one provider that failed alike."""
    if code in _OUR_CODES:
        return _OUR_CODES[code]
    advice = provider.advice_for(code, error_kind)
    if status == MessageStatus.UNKNOWN:
        return _("It may have been sent, so it is not sent again by itself. %(advice)s") % {"advice": advice}
    return advice
