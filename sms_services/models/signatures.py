"""Signatures that a platform must approve: what it said of a service's own when it was last asked."""

from collections.abc import Mapping

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..choices import TemplateStatus
from ..providers.base import Verification


class RegisteredSignature(models.Model):
    """For services that send with a signature, ``verify_sign`` of their ``account``.

    What the platform said holds for that account's signature only: another one starts without a status.
    """

    sign_status = models.CharField(
        _("signature on the platform"), max_length=12, choices=TemplateStatus.choices, blank=True, editable=False
    )
    sign_reason = models.CharField(_("platform's reason"), max_length=500, blank=True, editable=False)
    sign_asked = models.CharField(max_length=160, blank=True, editable=False)

    account: str
    verify_sign: str

    class Meta:
        abstract = True

    @property
    def signature_status(self) -> str:
        """A ``TemplateStatus``; empty if nothing is known of this signature."""
        return self.sign_status if self.sign_asked == self._signature else ""

    @property
    def problem(self) -> str | None:
        """Why the platform would refuse every text, as far as is known; ``None`` if it may take them."""
        words = _PROBLEMS.get(self.signature_status)
        if words is None:
            return None
        said = gettext("Its reason: %s") % self.sign_reason if self.sign_reason else ""
        parts = (str(words) % {"signature": self.verify_sign}, gettext("Then verify the credentials again."), said)
        return " ".join(part for part in parts if part)

    def keep_verification(self, answer: Verification) -> None:
        """Remember what the platform says of the signature. An answer that does not say it changes nothing."""
        if answer.signature_status is None:
            return
        self.sign_status, self.sign_asked = answer.signature_status, self._signature
        self.sign_reason = answer.detail[:500] if answer.signature_status in _PROBLEMS else ""
        type(self)._base_manager.filter(pk=self.pk).update(
            sign_status=self.sign_status, sign_reason=self.sign_reason, sign_asked=self.sign_asked
        )

    @property
    def _signature(self) -> str:
        return f"{self.account} {self.verify_sign}"


#: What to do about each status but the good ones. One that is not listed may be a test signature: the platform decides.
_PROBLEMS: Mapping[str, str | Promise] = {
    TemplateStatus.PENDING: _(
        "The provider is still reviewing the signature “%(signature)s” (status: under review). Wait until it is "
        "approved."
    ),
    TemplateStatus.REJECTED: _(
        "The provider has rejected the signature “%(signature)s” (status: rejected). Correct it in its console, or "
        "enter another."
    ),
    TemplateStatus.CANCELLED: _(
        "The review of the signature “%(signature)s” was cancelled (status: review cancelled). Submit it again in the "
        "provider's console."
    ),
}
