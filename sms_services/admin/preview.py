"""What a wording looks like on a phone, and what it costs with each kind of service."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from ..models import SmsService
from ..params import MAX_LENGTH
from ..placeholders import placeholder_names, render, validate_placeholders
from ..segments import SegmentCount, count_segments

_SAMPLES = {
    "code": "123456",
    "minutes": "5",
    "processTitle": _("Travel request"),
    "userNick": "Alex",
}
#: A number of each kind, for services whose counting depends on it.
_MAINLAND, _ELSEWHERE = "+8613800000000", "+12065550100"
_MOST_SERVICES = 12
#: Characters that are named as the reason for UCS-2. Of a Chinese text nobody wants to know all.
_MOST_NAMED = 6


@dataclass(frozen=True)
class Counted:
    """The count by the rules of some services, named. ``signed``: their signature stands in front and is counted."""

    label: str
    count: SegmentCount
    forcing: str
    signed: bool


@dataclass(frozen=True)
class Preview:
    """A wording with sample values filled in."""

    samples: Sequence[tuple[str, str]]
    text: str
    rows: Sequence[Counted]
    error: str = ""

    @classmethod
    def of(cls, wording: str, values: Mapping[str, str], services: Iterable[SmsService] | None = None) -> "Preview":
        """Render a wording with values by name; those that are not given get samples.

        Args:
            services: those by whose rules segments are counted; default: all that are active.
        """
        wording = wording[: 4 * MAX_LENGTH].replace("\r\n", "\n")
        samples = [(name, values.get(name) or str(_SAMPLES.get(name, name))) for name in placeholder_names(wording)]
        text = render(wording, dict(samples))
        try:
            validate_placeholders(wording)
            error = ""
        except ValidationError as invalid:
            error = " ".join(invalid.messages)
        if services is None:
            services = SmsService.objects.filter(is_active=True)[:_MOST_SERVICES]
        return cls(samples, text, _counted(text, services) if text else (), error)


def _counted(text: str, services: Iterable[SmsService]) -> list[Counted]:
    """One row per way of counting: services that count alike share a row."""
    rows: dict[SegmentCount, list[str]] = {}
    mainland, elsewhere = _("mainland China"), _("elsewhere")
    for service in services:
        provider = service.build_provider()
        here, there = (provider.count_segments(text, number) for number in (_MAINLAND, _ELSEWHERE))
        if here == there:
            rows.setdefault(here, []).append(str(service))
        else:
            rows.setdefault(here, []).append(f"{service} ({mainland})")
            rows.setdefault(there, []).append(f"{service} ({elsewhere})")
    if not rows:
        rows[count_segments(text)] = [str(_("Any service"))]
    return [
        Counted(
            label=", ".join(labels),
            count=count,
            forcing=_named([character for character in count.forcing_characters if character in text]),
            signed=count.characters > len(text),
        )
        for count, labels in rows.items()
    ]


def _named(characters: Sequence[str]) -> str:
    named = [_shown(character) for character in characters[:_MOST_NAMED]]
    return " ".join([*named, "…"] if len(characters) > _MOST_NAMED else named)


def _shown(character: str) -> str:
    return character if character.isprintable() and not character.isspace() else f"U+{ord(character):04X}"
