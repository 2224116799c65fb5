"""How many segments a text takes, which is what providers charge.

A segment holds 140 octets: 160 septets of the GSM 7-bit alphabet, or 70 units of UCS-2 (3GPP TS 23.038). A longer text
is split, and each part gives 6 octets to the header that puts the parts together: 153 septets or 67 units are left
(TS 23.040, 9.2.3.24.1). One character outside the alphabet puts the whole text into UCS-2: a typographic quote or a
non-breaking space more than doubles the price.

National language tables (TS 23.038, annex A) are left out, as providers do not use them. What a provider does on its
own account is not known here: Twilio's "smart encoding" may need fewer segments, and Amazon SNS, which splits between
words, may need more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

#: The default alphabet, in the order of its codes (TS 23.038, 6.2.1); code 1B, the escape, is no character.
GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
#: Characters that take two septets, the first an escape (TS 23.038, 6.2.1.1).
GSM_EXTENDED = frozenset("\f^{}\\[~]|€")

GSM_7 = "GSM-7"
UCS_2 = "UCS-2"

_GSM = GSM_BASIC | GSM_EXTENDED


@dataclass(frozen=True)
class SegmentCount:
    """What a text costs. ``units`` are septets (GSM-7) or 16-bit units (UCS-2)."""

    encoding: str
    characters: int
    units: int
    segments: int
    #: The characters that force UCS-2, each once, in the order of the text.
    forcing_characters: Sequence[str] = ()


def count_segments(text: str, *, always_ucs_2: bool = False) -> SegmentCount:
    """Count a text's segments: 160 septets, or 70 units of UCS-2; 153 or 67 in each part of a split text.

    An escaped character and a surrogate pair are never cut in two, as carriers do not cut them. An empty text has
    no segment.

    Args:
        always_ucs_2: the carrier never uses GSM-7 (mainland China).
    """
    forcing = tuple(dict.fromkeys(character for character in text if character not in _GSM))
    if forcing or always_ucs_2:
        widths = [2 if character > "\uffff" else 1 for character in text]
        encoding, alone, split = UCS_2, 70, 67
    else:
        widths = [2 if character in GSM_EXTENDED else 1 for character in text]
        encoding, alone, split = GSM_7, 160, 153
    units = sum(widths)
    segments = _parts(widths, split) if units > alone else min(units, 1)
    return SegmentCount(encoding, len(text), units, segments, forcing)


def _parts(widths: Sequence[int], size: int) -> int:
    """Fill parts of a size with characters of these widths, in order; a character that does not fit begins the next."""
    parts, room = 1, size
    for width in widths:
        if width > room:
            parts, room = parts + 1, size
        room -= width
    return parts
