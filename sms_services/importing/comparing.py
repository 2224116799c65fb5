"""What an import from a service's platform would do. Nothing here writes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from django.core.exceptions import ValidationError
from django.db import router
from django.db.models import Prefetch, QuerySet
from django.utils.translation import gettext as _

from ..exceptions import SmsError
from ..models import SmsService, SmsTemplate, TemplateCode, current_service
from ..providers import get_provider
from ..providers.base import RegisteredTemplate, Verification
from .changes import Change, Comparison, wording
from .new_templates import Keys, new_template, purposes_of

#: Changes that one page and one transaction hold. Another import goes on with the rest.
SHOWN_AT_ONCE = 400


def compare(service: SmsService) -> Comparison:
    """What an import from a service's platform would do. Asks the platform; writes nothing.

    Raises:
        ListingFailed: the platform gave anything but a clear and whole answer.
        MissingSDK, EncryptionKeyError, InvalidConfiguration: the service cannot ask at all.
    """
    return comparison_with(service, registered_templates(service))


def registered_templates(service: SmsService) -> list[RegisteredTemplate]:
    """Ask the platform, with the service's row as it is now."""
    return get_provider(current_service(service.pk) or service).registered_templates()


def signature_of(service: SmsService) -> Verification | None:
    """The state of the service's signature on its platform; ``None`` if it could not be asked for."""
    try:
        return get_provider(current_service(service.pk) or service).verify()
    except SmsError:
        return None


def database() -> str:
    """Where templates and codes are written. They are read there too: a replica may not have the last import yet."""
    return router.db_for_write(TemplateCode)


def comparison_with(service: SmsService, registered: Sequence[RegisteredTemplate]) -> Comparison:
    """What the platform has listed, beside what is here."""
    there = {template.code: template for template in registered}
    here = {code.code: code for code in _codes_of(service)}
    known = [_known(current, there.get(code)) for code, current in here.items()]
    changes = [*_new(there, here), *(change for change in known if change.changes_view or change.changes_text)]
    changes.sort(key=lambda change: not change.is_possible)  # so that what cannot be imported hides nothing that can
    return Comparison(
        changes=changes[:SHOWN_AT_ONCE],
        unchanged=len(there.keys() | here.keys()) - len(changes),
        registered=len(there),
        left=max(len(changes) - SHOWN_AT_ONCE, 0),
    )


def _codes_of(service: SmsService) -> "QuerySet[TemplateCode]":
    codes = TemplateCode.objects.using(database())
    others = codes.exclude(service_id=service.pk).select_related("service").order_by("pk")
    return (
        codes.filter(service_id=service.pk)
        .select_related("template")
        .prefetch_related(Prefetch("template__codes", queryset=others, to_attr="codes_elsewhere"))
        .order_by("template__name", "pk")
    )


def _known(current: TemplateCode, registered: RegisteredTemplate | None) -> Change:
    """The change of a code that is here already."""
    template = current.template
    change = Change(current.code, registered, current, template)
    if not change.changes_text:
        return change
    rewritten = SmsTemplate(purpose=template.purpose, text=change.new_text)
    elsewhere = tuple(str(code.service) for code in template.codes_elsewhere)  # type: ignore[attr-defined]
    return replace(change, problem=_problem_with(rewritten), shared_with=elsewhere)


def _new(there: Mapping[str, RegisteredTemplate], here: Mapping[str, TemplateCode]) -> list[Change]:
    """The changes for codes that are new here.

    A template that another service knows under the same code, with the same text, gets the code: an account with two
    signatures is two services.
    """
    added = [there[code] for code in sorted(there.keys() - here.keys())]  # the same keys, however the list is ordered
    if not added:
        return []
    keys = Keys(there.values(), SmsTemplate.objects.using(database()).values_list("key", flat=True))
    shareable = _shareable(added, busy={current.template_id for current in here.values()})
    spelled = {code.lower(): code for code in here}
    changes = []
    for registered in added:
        template = shareable.get(registered.code)
        problem = _problem_with_code(registered, spelled)
        if template is None:
            template = new_template(registered)
            problem = problem or _problem_with(template)
            if not problem:
                template.key = keys.take(registered)
        changes.append(Change(registered.code, registered, None, template, problem))
    return changes


def _shareable(added: Sequence[RegisteredTemplate], busy: set[int]) -> dict[str, SmsTemplate]:
    """Templates of other services by the code that they get, each for one code.

    Whoever chose such a template's purpose chose it for the kind that the platform names: a one-time code never gets
    to a template whose variables are stored in plain text. ``busy`` have a code of this service already.
    """
    registered = {template.code: template for template in added}
    rows = TemplateCode.objects.using(database()).filter(code__in=list(registered)).select_related("template")
    found: dict[str, SmsTemplate] = {}
    for row in rows.order_by("pk"):
        there, template = registered.get(row.code), row.template
        if there is None or row.code in found or template.pk in busy:
            continue
        if wording(template.text) == wording(there.text) and template.purpose in purposes_of(there):
            found[row.code] = template
            busy.add(template.pk)
    return found


def _problem_with_code(registered: RegisteredTemplate, spelled: Mapping[str, str]) -> str:
    """Why a code cannot be added, whatever it stands for; empty if it can."""
    if registered.kind is None:
        return _("It is of a kind that is not sent as a text message.")
    if other := spelled.get(registered.code.lower()):
        return _("A template has this code in other letters: %s. Correct it there.") % other
    return ""


def _problem_with(template: SmsTemplate) -> str:
    """Why our own rules do not allow a text for its purpose; empty if they do."""
    try:
        template.clean_fields(exclude=["key", "name"])
        template.clean()
    except ValidationError as error:
        return " ".join(error.messages)
    return ""
