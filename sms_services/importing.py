"""Import templates from a service's platform: compare first, then write exactly what was shown.

``compare`` asks the platform and writes nothing. ``apply`` compares again under a lock and refuses if the outcome is
not the one that a person has seen: then something changed meanwhile, there or here. Nothing is ever deleted.

What is taken over: text, status, reason and kind. A template's name, key and purpose are its admin's once it is here.
Text that breaks the rules for its purpose is not taken over, and the comparison says why: a one-time code imported as
a mere notification would be stored in plain text.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from django.core.exceptions import ValidationError
from django.db import IntegrityError, router, transaction
from django.db.models import F, Prefetch
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from .choices import Purpose, TemplateKind, TemplateStatus
from .exceptions import OutdatedComparison
from .models import SmsService, SmsTemplate, TemplateCode
from .placeholders import placeholder_names
from .providers import get_provider
from .providers.base import RegisteredTemplate

#: Changes that one page and one transaction hold. Another import goes on with the rest.
SHOWN_AT_ONCE = 400

_PURPOSES: Mapping[TemplateKind, Purpose] = {
    TemplateKind.OTP: Purpose.OTP,
    TemplateKind.NOTIFICATION: Purpose.NOTIFICATION,
    TemplateKind.MARKETING: Purpose.MARKETING,
}
_KEY_LENGTH, _NAME_LENGTH, _REASON_LENGTH = 50, 100, 500


@dataclass(frozen=True)
class Change:
    """What an import would do about one code.

    ``registered`` is ``None`` for a code that the platform does not list any more; ``current`` is ``None`` for one
    that is new here. ``template`` is the one that gets the code, or the text: unsaved if it is new, too. ``problem``
    says why the platform's text is not taken over. ``shared_with`` are other services that send the same template,
    and would send its new text.
    """

    code: str
    registered: RegisteredTemplate | None
    current: TemplateCode | None
    template: SmsTemplate
    problem: str = ""
    shared_with: Sequence[str] = ()

    @property
    def is_new(self) -> bool:
        return self.current is None

    @property
    def is_gone(self) -> bool:
        return self.registered is None

    @property
    def is_possible(self) -> bool:
        """Whether there is anything to write."""
        if self.current is None:
            return not self.problem
        return self.changes_view or (self.changes_text and not self.problem)

    @property
    def adds_template(self) -> bool:
        return self.is_new and self.template.pk is None

    @property
    def old_text(self) -> str:
        return self.template.text

    @property
    def new_text(self) -> str:
        return _wording(self.registered.text) if self.registered else ""

    @property
    def changes_text(self) -> bool:
        return bool(self.current and self.registered) and self.new_text != _wording(self.old_text)

    @property
    def new_variables(self) -> str:
        """The variables that every sending must give from now on, if they are others than before."""
        old, new = self.template.variable_names, placeholder_names(self.new_text)
        return ", ".join(new) or "-" if self.changes_text and set(old) != set(new) else ""

    @property
    def old_status(self) -> str:
        return self.current.get_platform_status_display() if self.current else ""

    @property
    def old_kind(self) -> str:
        return self.current.get_platform_kind_display() if self.current else ""

    @property
    def status(self) -> TemplateStatus:
        return self.registered.status if self.registered else TemplateStatus.GONE

    @property
    def reason(self) -> str:
        return self.registered.reason[:_REASON_LENGTH] if self.registered else ""

    @property
    def kind(self) -> TemplateKind | None:
        return self.registered.kind if self.registered else None

    @property
    def changes_view(self) -> bool:
        """Whether the platform says something else of the code than when it was last asked."""
        if self.current is None or self.registered is None:
            return self.current is not None and self.current.platform_status != TemplateStatus.GONE
        was = (self.current.platform_status, self.current.platform_reason, self.current.platform_kind)
        return was != (self.status, self.reason, self.kind or "")

    def fingerprint(self) -> str:
        """All that a person sees of it."""
        here, there = self.current, self.registered
        seen = (self.template.pk, self.template.key, self.template.name, self.old_text, self.problem, *self.shared_with)
        was = (here.pk, here.platform_status, here.platform_reason, here.platform_kind) if here else ()
        now = (there.name, there.text, there.kind, there.status, there.reason) if there else ()
        return repr((self.code, seen, was, now))


@dataclass(frozen=True)
class Comparison:
    """What the platform has, beside what is here. ``unchanged`` are codes that are the same on both sides."""

    service: SmsService
    changes: Sequence[Change]
    unchanged: int
    registered: int
    left: int = 0

    @property
    def new(self) -> list[Change]:
        return [change for change in self.changes if change.is_new and change.is_possible]

    @property
    def changed(self) -> list[Change]:
        return [change for change in self.changes if change.current and change.registered]

    @property
    def gone(self) -> list[Change]:
        return [change for change in self.changes if change.is_gone]

    @property
    def impossible(self) -> list[Change]:
        return [change for change in self.changes if not change.is_possible]

    @property
    def possible(self) -> list[Change]:
        return [change for change in self.changes if change.is_possible]

    @cached_property
    def digest(self) -> str:
        """By this, ``apply`` knows what was shown."""
        lines = "\n".join([str(self.service.pk), *(change.fingerprint() for change in self.changes)])
        return hashlib.sha256(lines.encode()).hexdigest()


@dataclass(frozen=True)
class Imported:
    """What was written."""

    new: int = 0
    changed: int = 0
    gone: int = 0


def compare(service: SmsService) -> Comparison:
    """What an import from a service's platform would do. Asks the platform; writes nothing.

    Raises:
        ListingFailed: the platform gave anything but a clear and whole answer.
        MissingSDK, EncryptionKeyError, InvalidConfiguration: the service cannot ask at all.
    """
    return _comparison(service, get_provider(service).registered_templates())


def apply(service: SmsService, digest: str, codes: Collection[str]) -> Imported:
    """Write what was shown, for these codes.

    The platform is asked again. Of two imports at once, the second finds nothing as it was shown.

    Args:
        digest: of the comparison that was shown.
        codes: those of it that are wanted; others stay as they are.

    Raises:
        OutdatedComparison: something is not as it was shown.
        ListingFailed, MissingSDK, EncryptionKeyError, InvalidConfiguration: as ``compare``. Nothing was written.
    """
    registered = get_provider(service).registered_templates()
    try:
        with transaction.atomic(using=router.db_for_write(TemplateCode)):
            # Takes turns with other imports, and on SQLite begins the transaction as one that writes.
            SmsService.objects.non_polymorphic().filter(pk=service.pk).update(is_active=F("is_active"))
            comparison = _comparison(service, registered)
            if comparison.digest != digest:
                raise OutdatedComparison(_("Something has changed since this was shown. Nothing was imported."))
            return _write(service, [change for change in comparison.possible if change.code in codes])
    except IntegrityError:
        raise OutdatedComparison(_("Somebody has just added one of these templates. Nothing was imported.")) from None


# Comparing


def _comparison(service: SmsService, registered: Sequence[RegisteredTemplate]) -> Comparison:
    here = _codes_of(service)
    there = {template.code: template for template in registered}
    added = [template for code, template in there.items() if code not in here]
    known = [_seen(current, there.get(code)) for code, current in here.items()]
    differing = [change for change in known if change.changes_view or change.changes_text]
    changes = [*_new(added, {current.template_id for current in here.values()}), *differing]
    shown = changes[:SHOWN_AT_ONCE]
    return Comparison(
        service=service,
        changes=shown,
        unchanged=len(there) + len(here) - len(there.keys() & here.keys()) - len(changes),
        registered=len(there),
        left=len(changes) - len(shown),
    )


def _codes_of(service: SmsService) -> dict[str, TemplateCode]:
    others = TemplateCode.objects.exclude(service_id=service.pk).select_related("service").order_by("pk")
    others = others.prefetch_related(None)
    codes = (
        TemplateCode.objects.filter(service_id=service.pk)
        .select_related("template")
        .prefetch_related(Prefetch("template__codes", queryset=others, to_attr="codes_elsewhere"))
        .order_by("template__name", "pk")
    )
    return {code.code: code for code in codes}


def _seen(current: TemplateCode, registered: RegisteredTemplate | None) -> Change:
    """The change of a code that is known here."""
    template = current.template
    change = Change(current.code, registered, current, template)
    if registered is None or not change.changes_text:
        return change
    elsewhere = tuple(str(code.service) for code in template.codes_elsewhere)  # type: ignore[attr-defined]
    rewritten = SmsTemplate(purpose=template.purpose, text=change.new_text)
    return replace(change, problem=_problem_with(rewritten), shared_with=elsewhere)


def _new(added: Sequence[RegisteredTemplate], busy: set[int]) -> Iterable[Change]:
    """The changes for codes that are new here, those that cannot be imported last.

    A template that another service knows under the same code, with the same text, gets the code: an account with two
    signatures is two services. ``busy`` are templates that have a code of this service already.
    """
    same = _same_elsewhere([template.code for template in added])
    candidates = [name for template in added for name in _key_candidates(template)]
    taken = set(SmsTemplate.objects.filter(key__in=candidates).values_list("key", flat=True))
    changes = []
    for registered in added:
        template = same.get((registered.code, _wording(registered.text)))
        problem = ""
        if template is not None and template.pk not in busy:
            busy.add(template.pk)
        else:
            template = _new_template(registered, taken)
            problem = _unknown_kind(registered) or _problem_with(template)
            if not problem:
                taken.add(template.key)
        changes.append(Change(registered.code, registered, None, template, problem))
    return sorted(changes, key=lambda change: not change.is_possible)


def _same_elsewhere(codes: Sequence[str]) -> dict[tuple[str, str], SmsTemplate]:
    rows = TemplateCode.objects.filter(code__in=codes).select_related("template").order_by("-pk")
    return {(row.code, _wording(row.template.text)): row.template for row in rows}


def _new_template(registered: RegisteredTemplate, taken: Collection[str]) -> SmsTemplate:
    text = _wording(registered.text)
    return SmsTemplate(
        key=next((key for key in _key_candidates(registered) if key not in taken), ""),
        name=registered.name.strip()[:_NAME_LENGTH],
        text=text,
        purpose=_purpose(registered.kind, text),
    )


def _purpose(kind: TemplateKind | None, text: str) -> Purpose:
    """What a text is for. International templates do not say it: one with ``${code}`` is taken for a one-time code,
    as such codes are kept unreadable."""
    if kind == TemplateKind.INTERNATIONAL:
        return Purpose.OTP if "code" in placeholder_names(text) else Purpose.NOTIFICATION
    return _PURPOSES[kind] if kind else Purpose.NOTIFICATION


def _key_candidates(registered: RegisteredTemplate) -> tuple[str, ...]:
    """Keys in the order in which they are tried: of the name, of name and code, of the code."""
    code = slugify(registered.code).replace("_", "-")
    name = slugify(registered.name).replace("_", "-").strip("-")
    if not re.search("[a-z]", name) or name == code:
        return (code[:_KEY_LENGTH], f"template-{code}"[:_KEY_LENGTH])
    number = code.removeprefix("sms-")
    return (
        name[:_KEY_LENGTH].strip("-"),
        f"{name[: _KEY_LENGTH - len(number) - 1].strip('-')}-{number}",
        code[:_KEY_LENGTH],
        f"template-{code}"[:_KEY_LENGTH],
    )


def _wording(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _unknown_kind(registered: RegisteredTemplate) -> str:
    return "" if registered.kind else _("It is of a kind that is not sent as a text message.")


def _problem_with(template: SmsTemplate) -> str:
    """Why our own rules do not allow a template; empty if they do."""
    if not template.key and template.name:
        return _("Its key is taken. Give the template that has it another one.")
    try:
        template.clean_fields(exclude=["key", "name"])
        template.clean()
    except ValidationError as error:
        return " ".join(error.messages)
    return ""


# Writing


def _write(service: SmsService, changes: Sequence[Change]) -> Imported:
    now = timezone.now()
    new = [change for change in changes if change.is_new]
    _add(service, new)
    current = [_updated(change) for change in changes if change.current]
    TemplateCode.objects.bulk_update(current, ["platform_status", "platform_reason", "platform_kind"], batch_size=200)
    rewritten = [change for change in changes if change.changes_text and not change.problem]
    for change in rewritten:
        change.template.text = change.new_text
    SmsTemplate.objects.bulk_update([change.template for change in rewritten], ["text"], batch_size=200)
    codes = [change.code for change in changes]
    TemplateCode.objects.filter(service_id=service.pk, code__in=codes).update(checked_at=now)
    gone = sum(change.is_gone for change in changes)
    return Imported(len(new), len(changes) - len(new) - gone, gone)


def _add(service: SmsService, changes: Sequence[Change]) -> None:
    SmsTemplate.objects.bulk_create([change.template for change in changes if change.adds_template], batch_size=200)
    # Not every database tells the new rows' ids.
    templates = SmsTemplate.objects.in_bulk([change.template.key for change in changes], field_name="key")
    TemplateCode.objects.bulk_create(
        [
            TemplateCode(
                template=templates[change.template.key],
                service_id=service.pk,
                code=change.code,
                platform_status=change.status,
                platform_reason=change.reason,
                platform_kind=change.kind or "",
            )
            for change in changes
        ],
        batch_size=200,
    )


def _updated(change: Change) -> TemplateCode:
    code = change.current
    assert code is not None  # noqa: S101 - a change of a code that is here
    code.platform_status, code.platform_reason = change.status, change.reason
    if change.registered:
        code.platform_kind = change.kind or ""
    return code
