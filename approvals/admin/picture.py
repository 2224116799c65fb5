"""The flow of a process as a picture: boxes below one another, drawn by the server.

Colours and fonts are those of the stylesheet, which takes the admin's. Lines are broken here, as SVG breaks none.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from ..choices import NodeKind, RequestStatus, RuleSource
from ..models import Node, Process, Rule
from ..names import name_of
from ..registry import predicate_choices, resolver_choices

WIDTH = 420
_PADDING, _GAP, _LINE, _TITLE_LINE, _PILL = 16, 34, 19, 22, 34
#: Widths in hundredths of the font's size; East Asian characters are square.
_WIDE, _NARROW = 100, 54
_TEXT_LEFT = 58
_ACROSS = WIDTH - _TEXT_LEFT - _PADDING


@dataclass(frozen=True)
class Line:
    text: str
    y: int
    role: str = ""


@dataclass(frozen=True)
class Box:
    """A step. ``y`` is its upper edge, ``arrow`` where the line from above begins."""

    number: int
    is_cc: bool
    y: int
    height: int
    arrow: int
    lines: Sequence[Line]

    @property
    def middle(self) -> int:
        return self.y + _PADDING + 12


@dataclass(frozen=True)
class Picture:
    boxes: Sequence[Box]
    end: int
    height: int
    title: str
    description: str
    begin: str
    outcome: str
    width: int = WIDTH

    @property
    def last_arrow(self) -> int:
        return self.boxes[-1].y + self.boxes[-1].height if self.boxes else _PILL + 1


@dataclass(frozen=True)
class Step:
    """A node with what an admin wants to know at a glance."""

    node: Node
    who: str
    text: str
    condition: str
    problems: Sequence[str]


def steps_of(process: Process) -> list[Step]:
    """The nodes in order, with their rules in words."""
    nodes = process.nodes.prefetch_related("rules__user", "rules__department", "rules__group")
    labels = dict(predicate_choices())
    with_texts = nodes.prefetch_related("sms_service", "sms_template__codes").order_by("position", "pk")
    return [_step(node, labels) for node in with_texts]


def picture_of(process: Process, steps: Sequence[Step]) -> Picture:
    boxes = list(_boxes(steps))
    end = (boxes[-1].y + boxes[-1].height if boxes else _PILL + 1) + _GAP
    return Picture(
        boxes=boxes,
        end=end,
        height=end + _PILL + 1,
        title=_("The flow of “%(process)s”") % {"process": process},
        description=" → ".join(f"{step.node.title} ({step.node.get_kind_display()})" for step in steps),
        begin=_("Submitted"),
        outcome=str(RequestStatus.APPROVED.label),
    )


def _step(node: Node, labels: dict[str, Any]) -> Step:
    rules = list(node.rules.all())
    named = ", ".join(_named(rule) for rule in rules)
    if not rules:
        who = _("Nobody is named")
    elif node.kind == NodeKind.CC:
        who = _("Copy to: %(people)s") % {"people": named}
    else:
        who = _("%(mode)s: %(people)s") % {"mode": node.get_mode_display(), "people": named}
    text, problems = _("No text"), []
    if not rules:
        problems.append(_("Nobody is named. Say who its approvers or CC recipients are."))
    if node.sms_service is not None and node.sms_template is not None:
        text = _("Text “%(template)s” through %(service)s") % {
            "template": node.sms_template,
            "service": node.sms_service,
        }
        if not node.sms_service.is_active:
            problems.append(_("“%(service)s” is deactivated.") % {"service": node.sms_service})
        problems.extend(filter(None, [node.sms_template.unapproved_by(node.sms_service)]))
    if node.condition and node.condition not in labels:
        problems.append(_("The condition “%(name)s” is not registered.") % {"name": node.condition})
    return Step(node, who, text, str(labels.get(node.condition, node.condition)), problems)


def _named(rule: Rule) -> str:
    """Whom a rule names, in a few words."""
    match rule.source:
        case RuleSource.USER:
            return name_of(rule.user)
        case RuleSource.DEPARTMENT:
            return _("members of %(department)s") % {"department": rule.department}
        case RuleSource.DEPARTMENT_HEAD:
            return _("head of %(department)s") % {"department": rule.department}
        case RuleSource.ROLE:
            return _("role %(role)s") % {"role": rule.group}
        case RuleSource.INITIATOR:
            return _("the initiator")
        case RuleSource.SUBJECT_FIELD:
            return _("the subject’s %(field)s") % {"field": rule.subject_field}
    return str(dict(resolver_choices()).get(rule.resolver, rule.resolver))


def _boxes(steps: Sequence[Step]) -> Iterator[Box]:
    y, arrow = _PILL + 1 + _GAP, _PILL + 1
    for number, step in enumerate(steps, 1):
        lines: list[Line] = []
        at = y + _PADDING + 14
        for piece in wrapped(step.node.title, 15):
            lines.append(Line(piece, at, "title"))
            at += _TITLE_LINE
        condition = _("Only if: %(condition)s") % {"condition": step.condition} if step.condition else ""
        for words in filter(None, (step.who, condition, step.text)):
            for piece in wrapped(words, 13):
                lines.append(Line(piece, at))
                at += _LINE
        height = at - y - 4
        yield Box(number, step.node.kind == NodeKind.CC, y, height, arrow, lines)
        arrow = y + height
        y = arrow + _GAP


def wrapped(text: str, size: int, across: int = _ACROSS) -> list[str]:
    """Lines that fit; words are broken only where one is longer than a line, and East Asian text anywhere."""
    lines, line, room = [], "", across * 100
    for piece in _pieces(text):
        width = _width(line + piece) * size
        if line and width > room:
            lines.append(line.rstrip())
            line = ""
        line = (line + piece) if line else piece.lstrip()
    return [*lines, line.rstrip()] if line.strip() else lines or [""]


def _pieces(text: str) -> Iterator[str]:
    """What may be separated: words with the space before them, single wide characters, 20 characters at most."""
    piece = ""
    for character in text:
        if piece and (character.isspace() or _is_wide(character) or _is_wide(piece[-1]) or len(piece) >= 20):
            yield piece
            piece = ""
        piece += character
    if piece:
        yield piece


def _width(text: str) -> int:
    return sum(_WIDE if _is_wide(character) else _NARROW for character in text)


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"
