"""How far a notification is: the bar, the figures, what failed and why, and the answer that keeps them up to date."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin.utils import display_for_value
from django.db.models import Count
from django.http import HttpRequest, JsonResponse
from django.template.defaultfilters import floatformat
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from sms_services.advice import advice_on
from sms_services.choices import ErrorKind, MessageStatus, SkipReason
from sms_services.error_pages import private_post
from sms_services.models import SmsMessage, SmsService

from ..choices import STOPPED, NotificationStatus
from ..expansion import pages
from ..models import Notification, Recipient
from ..models.notifications import Counts
from ..rows import database

#: In the order of the bar: what is good first, what is still to come last.
ORDER = (
    MessageStatus.DELIVERED,
    MessageStatus.SENT,
    MessageStatus.SENDING,
    MessageStatus.UNKNOWN,
    MessageStatus.UNDELIVERED,
    MessageStatus.FAILED,
    MessageStatus.SKIPPED,
    MessageStatus.QUEUED,
)
WENT_WRONG = (MessageStatus.FAILED, MessageStatus.UNDELIVERED, MessageStatus.UNKNOWN)
#: The bar is so many units long.
LENGTH = 1000
#: Failures of each status that are looked at: enough to tell what is wrong, however many there are.
MOST_FAILURES = 10_000
#: Milliseconds between two questions, while it runs and while it waits.
FAST, SLOW = 2_000, 10_000
#: Texts per second: less is not worth a figure.
_SLOWEST = 0.05
#: The parts of the page that change.
PARTS = ("state", "bar", "figures", "failures", "buttons")
#: The times below it that are still to come when it is composed.
TIMES = ("started_at", "expanded_at", "finished_at")


@dataclass(frozen=True)
class Figure:
    """One status: how many, and its piece of the bar."""

    status: str
    label: str | Promise
    count: int
    start: int
    length: int


@dataclass(frozen=True)
class Skipped:
    reason: str
    label: str | Promise
    count: int


@dataclass(frozen=True)
class FailureGroup:
    """What failed alike. ``query`` is the query string with which the list of the recipients shows them."""

    query: str
    status: str
    label: str | Promise
    kind: str | Promise
    code: str
    count: int
    advice: str | Promise


@dataclass(frozen=True)
class Failures:
    """The groups, the largest first. ``is_sample``: there are more failures than were looked at."""

    groups: Sequence[FailureGroup]
    is_sample: bool = False


@dataclass(frozen=True)
class Progress:
    """A notification at one moment. ``rate`` is in texts per second, of late; ``None``: not known."""

    notification: Notification
    counts: Counts
    rate: float | None = None

    @classmethod
    def of(cls, notification: Notification, *, since: tuple[int, float] | None = None) -> "Progress":
        """Count now.

        Args:
            since: how many had left, and how many seconds ago. Without it, no rate is known: since when it has been
                running, without a pause, is stored nowhere.
        """
        counts = notification.counts()
        gone = _gone(counts)
        rate = None
        if since and since[1] >= 1 and gone > since[0]:
            rate = (gone - since[0]) / since[1]
        return cls(notification, counts, rate)

    @property
    def total(self) -> int:
        return self.counts["total"]

    @property
    def done(self) -> int:
        """Those for whom nothing more is tried."""
        return _done(self.counts)

    @property
    def gone(self) -> int:
        """Those for whom a text left. Nothing is sent to those who are skipped: they say nothing of the speed."""
        return _gone(self.counts)

    @property
    def percent(self) -> int:
        return 100 * self.done // self.total if self.total else 0

    @property
    def went_wrong(self) -> int:
        return sum(self.counts[status] for status in WENT_WRONG)

    @property
    def figures(self) -> list[Figure]:
        figures, start = [], 0.0
        for status in ORDER:
            count = self.counts[status]
            length = LENGTH * count / self.total if self.total else 0
            # What is there at all can be seen.
            drawn = max(round(start + length) - round(start), 3) if count else 0
            figures.append(Figure(status, status.label, count, min(round(start), LENGTH - drawn), drawn))
            start += length
        return figures

    @property
    def is_live(self) -> bool:
        """Whether anything changes soon."""
        return self.notification.finished_at is None

    @property
    def is_starting(self) -> bool:
        """Whether nobody was added yet; what keeps it from that is said elsewhere."""
        notification = self.notification
        return self._is_running and not (self.total or notification.expanded_at or notification.problem)

    @property
    def is_finishing(self) -> bool:
        """Whether all messages have their outcome, and a worker will record that it is over."""
        return self._is_running and self._all_are_done

    @property
    def label(self) -> str:
        """The status in words: ``running`` has a beginning and an end."""
        if self.is_starting:
            return _("Starting…")
        return _("Finishing…") if self.is_finishing else str(self.notification.get_status_display())

    @property
    def interval(self) -> int:
        running = self.notification.status in (NotificationStatus.RUNNING, NotificationStatus.CANCELLED)
        return FAST if running else SLOW

    @property
    def sentence(self) -> str:
        """How far it is, in words."""
        done, total = number_format(self.done, force_grouping=True), number_format(self.total, force_grouping=True)
        numbers = {"done": done, "total": total}
        status = self.notification.status
        if self.notification.started_at is None and status == NotificationStatus.CANCELLED:
            return _("It was cancelled before it began.")
        if self.notification.started_at is None and self.is_live:
            return _("It has not begun yet.")
        if self.is_starting:
            return _("Its recipients are being looked up.")
        if self.is_live and status == NotificationStatus.CANCELLED and not self._all_are_done:
            return _("%(done)s of %(total)s people are done; the others are being skipped.") % numbers
        if self.is_live and not self.notification.expanded_at:
            if status == NotificationStatus.PAUSED:
                return _("%(done)s of %(total)s people so far are done; more are added once it goes on.") % numbers
            return _("%(done)s of %(total)s people so far are done; more are being added.") % numbers
        return _("%(done)s of %(total)s people are done (%(percent)d%%).") % {
            "done": done,
            "total": total,
            "percent": self.percent,
        }

    @property
    def news(self) -> str:
        """For screen readers."""
        return f"{self.label}{'' if self.label.endswith('…') else '.'} {self.sentence}"

    @property
    def speed(self) -> str:
        """How fast it is, and how long it will take, in words; empty where that is not known."""
        if not self.rate or self.rate < _SLOWEST or not self._is_running:
            return ""
        rate = _rate(self.rate)
        left = self.total - self.done
        if self.notification.expanded_at is None or not left:
            return _("%(rate)s a second.") % {"rate": rate}
        return _("%(rate)s a second; %(time)s left.") % {"rate": rate, "time": duration(left / self.rate)}

    @property
    def average(self) -> str:
        """How fast it has been, in words; empty where that is not known. For browsers without scripts."""
        if not self._is_running or self.notification.started_at is None or not self.gone:
            return ""
        rate = self.gone / max((timezone.now() - self.notification.started_at).total_seconds(), 1)
        if rate < _SLOWEST:
            return ""
        return _("%(rate)s a second on average, pauses included.") % {"rate": _rate(rate)}

    @property
    def _is_running(self) -> bool:
        return self.is_live and self.notification.status == NotificationStatus.RUNNING

    @property
    def _all_are_done(self) -> bool:
        return self.notification.expanded_at is not None and self.done == self.total

    @property
    def skipped(self) -> list[Skipped]:
        """Why people were skipped. What was skipped after it had a message is one line."""
        if not self.counts[MessageStatus.SKIPPED]:
            return []
        rows = Recipient.objects.using(database()).filter(notification=self.notification, skip_reason__gt="")
        by_reason = dict(rows.order_by().values_list("skip_reason").annotate(count=Count("pk")))
        skipped = [Skipped(reason, reason.label, by_reason[reason]) for reason in SkipReason if reason in by_reason]
        later = self.counts[MessageStatus.SKIPPED] - sum(by_reason.values())
        if later > 0:
            skipped.append(Skipped("", _("Cancelled or expired while queued"), later))
        return skipped


def _done(counts: Counts) -> int:
    return counts["total"] - counts[MessageStatus.QUEUED] - counts[MessageStatus.SENDING]


def _gone(counts: Counts) -> int:
    return _done(counts) - counts[MessageStatus.SKIPPED]


def _rate(rate: float) -> str:
    decimals = 0 if rate >= 10 else 1
    return number_format(round(rate, decimals), decimal_pos=decimals, force_grouping=True)  # which itself cuts off


def duration(seconds: float) -> str:
    """About how long, in words."""
    if seconds < 90:
        count = max(round(seconds), 1)
        return ngettext("about %(count)d second", "about %(count)d seconds", count) % {"count": count}
    if seconds < 5400:
        count = round(seconds / 60)
        return ngettext("about %(count)d minute", "about %(count)d minutes", count) % {"count": count}
    count = round(seconds / 3600)
    return ngettext("about %(count)d hour", "about %(count)d hours", count) % {"count": count}


def failures_of(notification: Notification, counts: Mapping[str, int]) -> Failures:
    """What failed, was not delivered or is in doubt, by status, kind and code, with what to do about it."""
    found: Counter[tuple[str, str, str]] = Counter()
    for status in WENT_WRONG:
        if not counts[status]:
            continue
        rows = SmsMessage.objects.using(database()).filter(batch=notification.batch_id, status=status).order_by("-pk")
        found.update((status, *row) for row in rows.values_list("error_kind", "provider_code")[:MOST_FAILURES])
    if not found:
        return Failures(())
    provider = SmsService.objects.get(pk=notification.service_id).provider_class
    kinds = dict(ErrorKind.choices)
    groups = [
        FailureGroup(
            urlencode({"status": status, "kind": kind, "code": code}),
            status,
            MessageStatus(status).label,
            kinds.get(kind, ""),
            code,
            count,
            advice_on(provider, status, kind, code) if kind else "",
        )
        for (status, kind, code), count in found.most_common(20)
    ]
    return Failures(groups, any(counts[status] > MOST_FAILURES for status in WENT_WRONG))


def segments_of(notification: Notification) -> str:
    """How many segments its texts took, and about what they cost; counted once all have left."""
    count = notification.segments() if notification.finished_at else 0
    if not count:
        return "-"
    shown = number_format(count, force_grouping=True)
    service = SmsService.objects.get(pk=notification.service_id)
    if service.price_per_segment is None:
        return shown
    total = floatformat(count * service.price_per_segment, "2g")  # as the estimate; number_format would cut off
    return f"{shown} ({_('About %(total)s %(currency)s') % {'total': total, 'currency': service.currency}})"


def page_parts(request: HttpRequest, progress: Progress, *, with_failures: bool = True) -> dict[str, Any]:
    """What the templates of the parts need."""
    notification, counts = progress.notification, progress.counts
    may_control = request.user.has_perm("notifications.control_notification")
    status = notification.status
    may_pause = status in (NotificationStatus.SCHEDULED, NotificationStatus.RUNNING) and not progress.is_finishing
    return {
        "notification": notification,
        "progress": progress,
        "failures": failures_of(notification, counts) if with_failures else None,
        "recipients_url": reverse("admin:notifications_notification_recipients", args=[notification.pk]),
        "may_pause": may_control and may_pause,
        "may_resume": may_control and status == NotificationStatus.PAUSED,
        "may_cancel": may_control and (may_pause or status == NotificationStatus.PAUSED),
        "may_retry": may_control and _may_retry(progress),
    }


def _may_retry(progress: Progress) -> bool:
    """Whether anything failed that was not retried yet, of one that nobody has stopped."""
    if progress.notification.status in STOPPED:
        return False
    failed = progress.counts[MessageStatus.FAILED] or progress.counts[MessageStatus.UNDELIVERED]
    return bool(failed) and pages.failures_of(progress.notification).exists()


class Follows:
    """For the notifications' admin: the answer to the script that follows one."""

    def get_urls(self) -> list[Any]:
        view = never_cache(self.admin_site.admin_view(require_GET(self.progress_view)))  # type: ignore[attr-defined]
        urls: list[Any] = super().get_urls()  # type: ignore[misc]
        return [path("<int:pk>/progress/", view, name="notifications_notification_progress"), *urls]

    @private_post()
    def progress_view(self, request: HttpRequest, pk: int) -> JsonResponse:
        """The figures, and the parts of the page as they are now.

        The query may say what the page knows: for how many a text had ``left`` and how many ``ms`` ago, and how many
        had gone ``wrong``, so that failures are looked at only when there are others.
        """
        notification = self.notification_for(request, pk, "notifications.view_notification")  # type: ignore[attr-defined]
        left, milliseconds = _number(request, "left"), _number(request, "ms")
        since = (left, milliseconds / 1000) if left is not None and milliseconds else None
        progress = Progress.of(notification, since=since)
        with_failures = _number(request, "wrong") != progress.went_wrong
        context = page_parts(request, progress, with_failures=with_failures)
        parts = [part for part in PARTS if with_failures or part != "failures"]
        folder = "admin/notifications/notification"
        return JsonResponse(
            {
                "label": progress.label,
                "status": notification.status,
                "counts": progress.counts,
                "done": progress.done,
                "left": progress.gone,
                "wrong": progress.went_wrong,
                "live": progress.is_live,
                "interval": progress.interval,
                "sentence": progress.news,
                "fields": {
                    "segments": segments_of(notification),
                    **{field: display_for_value(getattr(notification, field), "-") for field in TIMES},
                },
                "parts": {part: render_to_string(f"{folder}/{part}.html", context, request) for part in parts},
            }
        )


def _number(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 15 else None
