"""Challenges: codes that were asked for. No row holds one, nor a token that would let somebody try."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Greatest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sms_services.models import SmsMessage
from sms_services.phone_numbers import mask

from ..choices import ChallengeState, Outcome, Purpose, Sending
from .logins import MobileLogin

#: States in which a challenge can still let somebody in.
LIVE = (ChallengeState.OPEN, ChallengeState.PROVED)

#: Once a code was right, this much time is left to choose a nickname.
TIME_TO_FINISH = timedelta(minutes=5)


def _in_time(now: datetime) -> Q:
    """Live, and its time is not over: a code's own, or once it was right, that to finish."""
    return Q(state=ChallengeState.OPEN, expires_at__gt=now) | Q(state=ChallengeState.PROVED, finish_by__gt=now)


class ChallengeQuerySet(models.QuerySet["Challenge"]):
    """The steps of a challenge, each a conditional UPDATE whose row count decides. The clock is compared inside it."""

    def live(self) -> "ChallengeQuerySet":
        """Those that may still let somebody in, if their time is not over."""
        return self.filter(state__in=LIVE)

    def count_attempt(self, now: datetime) -> int:
        """Take one of the attempts, before anything is compared; 0 if there is none to take.

        A code that was right already can be entered again as long as what was missing can be given.
        """
        rows = self.filter(_in_time(now), attempts__lt=F("attempts_allowed"))
        return rows.update(attempts=F("attempts") + 1)

    def prove(self, now: datetime, *, spent: int) -> int:
        """The code was right, and something else is missing: there is time for that, and it begins but once.

        Args:
            spent: attempts that the right code has taken. They are given back, so that it may be entered again; the
                wrong ones count on.
        """
        until = Greatest(F("expires_at"), Value(now + TIME_TO_FINISH), output_field=models.DateTimeField())
        first = self.filter(state=ChallengeState.OPEN, expires_at__gt=now)
        again = self.filter(state=ChallengeState.PROVED, finish_by__gt=now)
        left = F("attempts") - spent
        return first.update(state=ChallengeState.PROVED, attempts=left, finish_by=until) or again.update(attempts=left)

    def use(self, now: datetime) -> int:
        """Use it up. Whoever changes no row does not get in."""
        return self.filter(_in_time(now)).update(state=ChallengeState.USED, used_at=now)

    def replace(self) -> int:
        """A newer code, or a newer holder of the number: nothing that was begun before lets anybody in.

        Nor does a worker make a code that nobody can use any more; the sweep takes those away.
        """
        return self.live().update(state=ChallengeState.REPLACED)

    def waiting(self, now: datetime) -> "ChallengeQuerySet":
        """Whose code is still to be made and sent."""
        return self.filter(sending=Sending.WAITING, state=ChallengeState.OPEN, expires_at__gt=now)

    def overdue(self, now: datetime) -> "ChallengeQuerySet":
        """Those for which no worker has come in time."""
        return self.filter(sending=Sending.WAITING, sweep_at__lte=now).order_by("sweep_at")

    def newest_first(self) -> "ChallengeQuerySet":
        return self.order_by("-created_at", "-pk")


class Challenge(models.Model):
    """One code that somebody asked for, whether or not a text went out.

    ``token_hash`` is the SHA-256 of the opaque token that binds it to whoever asked. ``digest`` is the keyed hash of
    the code; empty until a worker has made one, and for good where nobody was to get any. ``known_device``: it was
    asked for by a browser that has logged in as this number before. ``country`` and ``prefix`` are for the figures.
    ``expires_at`` is until when the code can be entered; ``finish_by``, once it was right, until when it can be entered
    again and what else is missing can be given. ``sweep_at`` is when the sweep looks after a challenge for which no
    worker came.
    """

    login = models.ForeignKey(MobileLogin, models.CASCADE, related_name="challenges", verbose_name=_("mobile login"))
    purpose = models.CharField(_("purpose"), max_length=16, choices=Purpose.choices)
    phone_number = models.CharField(_("phone number"), max_length=16)
    country = models.CharField(_("country"), max_length=2)
    prefix = models.CharField(_("prefix"), max_length=16)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("user")
    )

    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    digest = models.CharField(max_length=64, blank=True, editable=False)
    known_device = models.BooleanField(_("known device"), default=False)

    state = models.CharField(_("state"), max_length=12, choices=ChallengeState.choices, default=ChallengeState.OPEN)
    outcome = models.CharField(_("outcome"), max_length=16, choices=Outcome.choices, blank=True, default="")
    code_length = models.PositiveSmallIntegerField(default=6, editable=False)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    attempts_allowed = models.PositiveSmallIntegerField(_("attempts allowed"), default=5)

    sending = models.CharField(_("sending"), max_length=12, choices=Sending.choices, default=Sending.WAITING)
    message = models.ForeignKey(
        SmsMessage, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("message")
    )
    problem = models.CharField(_("what was wrong"), max_length=64, blank=True)

    created_at = models.DateTimeField(_("created"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"))
    finish_by = models.DateTimeField(null=True, blank=True, editable=False)
    used_at = models.DateTimeField(_("used"), null=True, blank=True)
    sweep_at = models.DateTimeField(null=True, blank=True, editable=False, db_index=True)

    objects = ChallengeQuerySet.as_manager()

    class Meta:
        verbose_name = _("code request")
        verbose_name_plural = _("code requests")
        ordering = ("-pk",)
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(condition=Q(state__in=ChallengeState.values), name="challenge_state_known"),
        ]
        indexes = [
            # The admin's list, and the purge.
            models.Index(fields=["created_at", "id"], name="login_challenge_created"),
            # The newest one of a number.
            models.Index(fields=["phone_number", "created_at"], name="login_challenge_number"),
            # Figures, and how many codes of a country or prefix were used.
            models.Index(fields=["login", "created_at"], name="login_challenge_login"),
            models.Index(fields=["prefix", "created_at"], name="login_challenge_prefix"),
            models.Index(fields=["country", "created_at"], name="login_challenge_country"),
        ]

    def __str__(self) -> str:
        return f"{mask(self.phone_number)} ({self.get_purpose_display()})"

    def __repr__(self) -> str:
        return f"<Challenge {self.pk}>"

    @property
    def expired(self) -> bool:
        return not self.expires_in

    @property
    def exhausted(self) -> bool:
        """Whether its attempts are used up."""
        return self.attempts >= self.attempts_allowed

    @property
    def attempts_left(self) -> int:
        return max(self.attempts_allowed - self.attempts, 0)

    @property
    def expires_in(self) -> timedelta:
        """For how long it can let somebody in."""
        until = self.finish_by if self.state == ChallengeState.PROVED and self.finish_by else self.expires_at
        return max(until - timezone.now(), timedelta())
