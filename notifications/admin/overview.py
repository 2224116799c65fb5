"""What a form shows before anything is sent: how many people, what they will read, what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from sms_services.admin.preview import Preview
from sms_services.models import SmsService

from ..api import recipients_summary
from ..exceptions import NotificationError
from ..summary import RecipientsSummary
from .composing import Composing
from .fields import FIELD, REFRESH, TEXT, field_label

#: The value of the button that only follows the text: the people were counted already.
ONLY_TEXT = "text"


@dataclass(frozen=True)
class Estimate:
    """What it costs, if everybody gets as many segments as the preview."""

    people: int
    segments: int
    price: Decimal
    currency: str

    @property
    def total(self) -> Decimal:
        return self.people * self.segments * self.price


@dataclass(frozen=True)
class Overview:
    """What is known at the moment; ``summary`` is ``None`` where nobody is chosen, or the people were not counted."""

    summary: RecipientsSummary | None = None
    reachable: int | None = None
    preview: Preview | None = None
    estimate: Estimate | None = None
    problem: str = ""

    @classmethod
    def of(cls, form: Composing) -> "Overview":
        """What the form needs: the people are counted unless only the text is followed."""
        return cls.with_people(form, None if form.data.get(REFRESH) == ONLY_TEXT else summary_of(form))

    @classmethod
    def with_people(cls, form: Composing, summary: RecipientsSummary | None) -> "Overview":
        """With people that were counted before."""
        reachable = summary.reachable if summary else _counted(form.data)
        preview = preview_of(form)
        problem = ""
        if form.chosen_service is not None and form.chosen_template is not None:
            problem = form.chosen_template.problem_with(form.chosen_service) or ""
        elif form.chosen_service is not None:
            problem = form.chosen_service.problem or ""
        if problem in (error for field in ("service", "template") for error in form.errors.get(field, ())):
            problem = ""  # it is said beside the field
        return cls(summary, reachable, preview, _estimate(form.chosen_service, preview, reachable), problem)


def summary_of(form: Composing) -> RecipientsSummary | None:
    """The people that are chosen at the moment; ``None`` if nobody is."""
    chosen = {kind: pks for kind, pks in form.chosen_recipients().items() if pks}
    if not chosen:
        return None
    variables: Any = form.fields["variables"]
    # What a preset names, or a page of before, may not be looked up any more: the people are counted all the same.
    sources = [source for source, _text in form.shown_variables().values() if source in variables.offered]
    fields = [source.removeprefix(FIELD) for source in sources if source.startswith(FIELD)]
    try:
        return recipients_summary(**chosen, include_subdepartments=form.includes_subdepartments(), fields=fields)
    except NotificationError:  # somebody was deleted since they were chosen
        return None


def preview_of(form: Composing) -> Preview | None:
    """The text with the variables as they are at the moment, counted by the rules of the service that is chosen.

    What is looked up on each recipient is shown by the field's label, and counted by its name in code: a label counts
    differently in each language.
    """
    if form.chosen_template is None or not form.chosen_template.text:
        return None
    shown, counted = {}, {}
    for name, (source, text) in form.shown_variables().items():
        if source.startswith(FIELD):
            path = source.removeprefix(FIELD)
            shown[name], counted[name] = f"[{field_label(path)}]", path.rpartition("__")[2]
        elif source == TEXT:
            shown[name] = counted[name] = text
    services = None if form.chosen_service is None else [form.chosen_service]
    wording = form.chosen_template.text
    return replace(Preview.of(wording, counted, services), text=Preview.of(wording, shown, ()).text, samples=())


def _estimate(service: SmsService | None, preview: Preview | None, people: int | None) -> Estimate | None:
    price = service.price_per_segment if service else None
    if service is None or price is None or preview is None or not preview.rows or not people:
        return None
    return Estimate(people, max(row.count.segments for row in preview.rows), price, service.currency)


def _counted(data: Mapping[str, Any]) -> int | None:
    given = str(data.get("counted", ""))
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 12 else None
