"""Writing what was shown, and nothing else."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from django.db import IntegrityError, connections, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from ..exceptions import OutdatedComparison
from ..models import SmsService, SmsTemplate, TemplateCode
from .changes import Change
from .comparing import comparison_with, database, registered_templates


@dataclass(frozen=True)
class Imported:
    """How much was written, and the codes that were left alone because they were no longer as they were shown."""

    new: int = 0
    changed: int = 0
    gone: int = 0
    left_alone: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return self.new + self.changed + self.gone


def apply(
    service: SmsService, chosen: Mapping[str, str], *, record: Callable[[Imported], object] | None = None
) -> Imported:
    """Write what was shown. The platform is asked again.

    Args:
        chosen: the codes that are wanted, with the fingerprint that each one's ``Change`` had when it was shown. One
            that has another now was edited meanwhile, here or on the platform: it is left alone.
        record: called with the outcome in the transaction that writes, for a record that stays exactly if it does.

    Raises:
        OutdatedComparison: somebody added the same at the same moment. Nothing was written.
        ListingFailed, MissingSDK, EncryptionKeyError, InvalidConfiguration: as ``compare``. Nothing was written.
    """
    registered = registered_templates(service)
    try:
        with transaction.atomic(using=database()):
            _lock(service, chosen)
            possible = comparison_with(service, registered).possible
            changes = [change for change in possible if chosen.get(change.code) == change.fingerprint]
            left_alone = sorted(chosen.keys() - {change.code for change in changes})
            imported = replace(_write(service, changes), left_alone=tuple(left_alone))
            if record:
                record(imported)
            return imported
    except IntegrityError:
        raise OutdatedComparison(_("Somebody has just added one of these templates. Nothing was imported.")) from None


def _lock(service: SmsService, codes: Collection[str]) -> None:
    """Keep others from writing what is compared next, until it is written.

    The UPDATE makes imports for one service take turns, and on SQLite begins the transaction as one that writes; there
    nobody else writes then. Rows are locked in an order of their own, templates before codes, as admin writes them.
    """
    using = database()
    SmsService.objects.non_polymorphic().using(using).filter(pk=service.pk).update(is_active=F("is_active"))
    registered = TemplateCode.objects.using(using).filter(code__in=list(codes))
    # Messages that refer to a template may be stored meanwhile, where the database can tell the difference.
    no_key = connections[using].features.has_select_for_no_key_update
    for rows in (
        SmsTemplate.objects.using(using).filter(pk__in=list(registered.values_list("template", flat=True))),
        registered.filter(service_id=service.pk),
    ):
        list(rows.select_for_update(no_key=no_key).order_by("pk").values_list("pk"))


def _write(service: SmsService, changes: Sequence[Change]) -> Imported:
    using = database()
    templates, codes = SmsTemplate.objects.using(using), TemplateCode.objects.using(using)
    added = [change for change in changes if change.is_new]
    for change in added:
        if change.adds_template:
            # One by one: MySQL does not tell the ids of rows that were inserted together.
            change.template.save(force_insert=True, using=using)
    rewritten = [change for change in changes if change.rewrites]
    for change in rewritten:
        change.template.text = change.new_text
    templates.bulk_update([change.template for change in rewritten], ["text"], batch_size=200)
    codes.bulk_create([_seen(change, service) for change in added], batch_size=200)
    codes.bulk_update(
        [_seen(change, service) for change in changes if not change.is_new],
        ["platform_status", "platform_reason", "platform_kind", "checked_at"],
        batch_size=200,
    )
    gone = sum(change.is_gone for change in changes)
    return Imported(len(added), len(changes) - len(added) - gone, gone)


def _seen(change: Change, service: SmsService) -> TemplateCode:
    """The code with what the platform says of it now."""
    code = change.current or TemplateCode(template=change.template, service_id=service.pk, code=change.code)
    code.platform_status, code.platform_reason = change.status, change.reason
    if change.registered:
        code.platform_kind = change.kind or ""
    code.checked_at = timezone.now()
    return code
