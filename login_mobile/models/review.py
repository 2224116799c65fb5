"""Numbers for those who review an app for a store: they cannot receive a text."""

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from sms_services.phone_numbers import mask

from ..keys import digests, one_of
from .logins import MobileLogin

_SALT = "login_mobile.review"


class ReviewNumber(models.Model):
    """A number with a fixed code until a date. It gets no texts, is limited like all others, and never opens staff.

    The code opens one account, ``user``, which is made at its first use and has no verified number: nobody has proved
    to have this one. Once somebody in it proves a number, it is theirs, and ``user`` is empty again. Of the code only a
    keyed hash is kept: call ``set_code`` and save.
    """

    login = models.ForeignKey(
        MobileLogin, models.CASCADE, related_name="review_numbers", verbose_name=_("mobile login")
    )
    number = models.CharField(_("phone number"), max_length=16, help_text="E.164")
    code_digest = models.CharField(max_length=64, editable=False)
    valid_until = models.DateTimeField(_("valid until"))
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        verbose_name=_("account"),
    )
    note = models.CharField(_("note"), max_length=100, blank=True, help_text=_("For example the store."))

    class Meta:
        verbose_name = _("review number")
        verbose_name_plural = _("review numbers")
        constraints = [models.UniqueConstraint(fields=["login", "number"], name="one_review_number_per_login")]

    def __str__(self) -> str:
        return mask(self.number)

    def __repr__(self) -> str:
        return f"<ReviewNumber {self.pk}>"

    @property
    def is_valid(self) -> bool:
        return timezone.now() < self.valid_until

    @sensitive_variables("code")
    def set_code(self, code: str) -> None:
        """Keep a code of digits, as a hash. Needs ``number``."""
        self.code_digest = digests(_SALT, f"{self.number}:{code}")[0]

    @sensitive_variables("code")
    def has_code(self, code: str) -> bool:
        return one_of(self.code_digest, digests(_SALT, f"{self.number}:{code}"))
