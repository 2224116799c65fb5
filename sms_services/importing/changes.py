"""What differs between a platform and here, as a person is shown it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..choices import TemplateKind, TemplateStatus
from ..models import SmsTemplate, TemplateCode
from ..placeholders import placeholder_names
from ..providers.base import RegisteredTemplate

_REASON_LENGTH = 500


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
        return self.changes_view or self.rewrites

    @property
    def adds_template(self) -> bool:
        return self.is_new and self.template.pk is None

    @property
    def rewrites(self) -> bool:
        """Whether the platform's text takes the place of ours."""
        return self.changes_text and not self.problem

    @property
    def old_text(self) -> str:
        return self.template.text

    @property
    def new_text(self) -> str:
        return wording(self.registered.text) if self.registered else ""

    @property
    def changes_text(self) -> bool:
        return bool(self.current and self.registered) and self.new_text != wording(self.old_text)

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

    @cached_property
    def fingerprint(self) -> str:
        """By this, ``apply`` knows whether it still is what a person has seen."""
        here, there, template = self.current, self.registered, self.template
        seen = (template.pk, template.key, template.name, template.purpose, self.old_text)
        was = (here.pk, here.platform_status, here.platform_reason, here.platform_kind) if here else ()
        now = (there.name, there.text, there.kind, there.status, there.reason) if there else ()
        shown = repr((self.code, seen, was, now, self.problem, *self.shared_with))
        return hashlib.sha256(shown.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Comparison:
    """What the platform has, beside what is here. ``unchanged`` are codes that are the same on both sides."""

    changes: Sequence[Change]
    unchanged: int
    registered: int
    left: int = 0

    @property
    def possible(self) -> list[Change]:
        return [change for change in self.changes if change.is_possible]

    @property
    def new(self) -> list[Change]:
        return [change for change in self.possible if change.is_new]

    @property
    def changed(self) -> list[Change]:
        return [change for change in self.possible if change.current and change.registered]

    @property
    def gone(self) -> list[Change]:
        return [change for change in self.possible if change.is_gone]

    @property
    def impossible(self) -> list[Change]:
        return [change for change in self.changes if not change.is_possible]

    @property
    def all_chosen(self) -> dict[str, str]:
        """What ``apply`` takes to write everything that is possible."""
        return {change.code: change.fingerprint for change in self.possible}


def wording(text: str) -> str:
    """A text without what forms and consoles change about it."""
    return text.replace("\r\n", "\n").strip()
