"""SMS pumping: texts asked for by the hundred, to numbers of whoever earns on them, which nobody ever enters.

What gives it away is that codes are not used. A country or prefix (numbers that differ in their last four digits only)
of which that holds pauses itself: after so many codes that have had time to be used, or as soon as the cap of a day is
reached. Then requests are refused there until somebody resumes it; all others go on.

Only codes that have left in good time are judged, by the time since then: in an outage of workers or of the provider
nobody can use any, and that is no attack. What the provider has taken counts as left, also if a carrier did not deliver
it: so it is where numbers are made up. Nor are those of a login without registration judged: only accounts get them,
and a pause would tell that a number among those asked for has one.
"""

import logging
from collections.abc import Collection, Set
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from sms_services.choices import MessageStatus
from sms_services.logs import log

from .. import buckets, limits
from ..choices import ChallengeState, PauseReason, PauseScope, Purpose, Sending
from ..exceptions import ErrorCode, Refusal
from ..models import Challenge, MobileLogin, Pause
from ..numbers import Number
from ..rows import challenges, database, pauses
from ..signals import pumping_suspected

#: The provider took also those that are undelivered. Not those in doubt, or tried again: whoever waits for such a text
#: mostly waits in vain.
_LEFT = (MessageStatus.SENT, MessageStatus.DELIVERED, MessageStatus.UNDELIVERED)
_ON_ITS_WAY = (MessageStatus.QUEUED, MessageStatus.SENDING)
#: A code that has left just now is no sign of anything.
TIME_TO_USE = timedelta(minutes=2)
WINDOW = timedelta(days=1)


def refuse_paused(login: MobileLogin, number: Number) -> None:
    """Raise ``Refusal`` (``paused``) if no code is to leave for numbers like this one."""
    keys = [
        Pause.key_of(login.pk, PauseScope.COUNTRY, number.country),
        Pause.key_of(login.pk, PauseScope.PREFIX, number.prefix),
    ]
    if pauses().filter(active_key__in=keys).exists():
        raise Refusal(ErrorCode.PAUSED)


def judge_after_cap(login: MobileLogin, number: Number, purpose: Purpose, full: Set[str]) -> bool:
    """A cap of a day is reached. If its codes are not being used, that was no rush but an attack.

    Those of just now are judged only where too few have had time to be used: in a rush nobody can have entered them
    yet, and they would hide those that were used before.

    The cap of known browsers keeps people out whom no pause does, so the log says that it is reached. To resume what
    has paused begins it anew too. However many are refused, the log says it once an hour, and they are judged once in
    two minutes: there are no new codes to be judged, but some may have had time to be used by then.

    Returns:
        whether anything was judged, so that it may be paused now.
    """
    is_judged = False
    for scope in PauseScope:
        value = _value(scope, number.country, number.prefix)
        for kind in full & {limits.STRANGERS_CAPS[scope], limits.KNOWN_CAPS[scope]}:
            if kind == limits.KNOWN_CAPS[scope] and _is_news(limits.cap_reached(kind, login.pk, value)):
                seen = _in_logs(scope, value)
                log(logging.WARNING, "login.cap_reached", login=login.key, scope=scope.value, value=seen)
            if not _is_judged(login, purpose) or not _is_news(limits.cap_judged(kind, login.pk, value)):
                continue
            enough = min(_sample_size(login, scope), _cap(login, scope)) / 2
            sample = _sample(login, scope, value, _left_in_time(login))
            if len(sample) < enough:
                sample = _sample(login, scope, value, _left_in_time(login) | _asked_for_just_now(login))
            if len(sample) >= enough:  # else most of them never left
                _judge(login, scope, value, PauseReason.CAP, sample)
            is_judged = True
    return is_judged


def judge(challenge: Challenge) -> None:
    """Its code is to leave: have enough of those before it been used?"""
    login = challenge.login
    if not _is_judged(login, challenge.purpose):
        return
    for scope in PauseScope:
        value = _value(scope, challenge.country, challenge.prefix)
        sample = _sample(login, scope, value, _left_in_time(login))
        if len(sample) >= _sample_size(login, scope):
            _judge(login, scope, value, PauseReason.UNUSED, sample)


def _is_judged(login: MobileLogin, purpose: str) -> bool:
    """A code to log in where nobody may register is no reason to look: codes like it are not judged."""
    return login.allow_registration or purpose != Purpose.LOGIN


def _is_news(counter: buckets.Counter) -> bool:
    if buckets.wait_for([counter]):
        return False
    try:
        buckets.take([counter])
    except (buckets.Full, Refusal):
        return False
    return True


def _value(scope: PauseScope, country: str, prefix: str) -> str:
    return prefix if scope == PauseScope.PREFIX else country


def _in_logs(scope: PauseScope, value: str) -> str:
    return value if scope == PauseScope.COUNTRY else f"{value[:-4]}****"


def _sample_size(login: MobileLogin, scope: PauseScope) -> int:
    return login.pause_prefix_after if scope == PauseScope.PREFIX else login.pause_country_after


def _left_in_time(login: MobileLogin) -> Q:
    """Two minutes ago or earlier, and not so late that nobody waited any more."""
    punctual = F("created_at") + timedelta(minutes=login.code_minutes) / 2
    left = Q(message__status__in=_LEFT, message__claimed_at__lte=timezone.now() - TIME_TO_USE)
    return left & Q(message__claimed_at__lte=punctual)


def _asked_for_just_now(login: MobileLogin) -> Q:
    """An attack may be over before any of its codes has left. Nothing, if those before it have not left either."""
    coming = Q(sending=Sending.WAITING) | Q(message__status__in=_ON_ITS_WAY)
    just_now = timezone.now() - TIME_TO_USE
    if challenges().filter(coming, login=login, created_at__range=(just_now - WINDOW, just_now)).exists():
        return Q(pk__in=())
    fresh = Q(sending=Sending.WAITING) | Q(message__status__in=_LEFT)
    fresh |= Q(message__status__in=_ON_ITS_WAY, message__error_kind="")
    return fresh & Q(created_at__gt=just_now)


def _cap(login: MobileLogin, scope: PauseScope) -> int:
    return login.cap_per_prefix if scope == PauseScope.PREFIX else login.cap_per_country


def _sample(login: MobileLogin, scope: PauseScope, value: str, condition: Q) -> list[str]:
    """States of the newest codes of the last day that could be used, since the last pause was over.

    Only the newest ones: however many good codes a day has seen, an attack shows soon; and judging costs the same.
    """
    resumed = pauses().filter(login=login, scope=scope, value=value, resumed_at__isnull=False)
    last = resumed.order_by("-resumed_at").values_list("resumed_at", flat=True).first()
    since = max(filter(None, (timezone.now() - WINDOW, last)))
    rows = challenges().filter(**{scope.value: value}, login=login, created_at__gte=since)
    rows = rows.filter(condition)
    if not login.allow_registration:
        rows = rows.exclude(purpose=Purpose.LOGIN)
    return list(rows.newest_first().values_list("state", flat=True)[: _sample_size(login, scope)])


def _judge(login: MobileLogin, scope: PauseScope, value: str, reason: PauseReason, sample: Collection[str]) -> None:
    used = sum(state in (ChallengeState.USED, ChallengeState.PROVED) for state in sample)
    if sample and used * 100 < len(sample) * login.pause_below_percent:
        _pause(login, scope, value, reason, len(sample), used)


def _pause(login: MobileLogin, scope: PauseScope, value: str, reason: PauseReason, sent: int, used: int) -> None:
    key = Pause.key_of(login.pk, scope, value)
    if pauses().filter(active_key=key).exists():
        return  # codes that were promised before it still leave, and each is judged
    pause = Pause(
        login=login,
        scope=scope,
        value=value,
        active_key=key,
        reason=reason,
        sent=sent,
        used=used,
    )
    try:
        with transaction.atomic(using=database()):
            pause.save(using=database(), force_insert=True)
    except IntegrityError:
        return  # somebody else was faster
    log(
        logging.WARNING,
        "login.paused",
        login=login.key,
        scope=scope.value,
        value=_in_logs(scope, value),
        reason=reason.value,
        sent=sent,
        used=used,
    )
    pumping_suspected.send_robust(Pause, login=login, pause=pause)
