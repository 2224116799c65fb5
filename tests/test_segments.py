"""Segments: the alphabet's tables, and every edge at which a text gets more expensive."""

import random

import pytest

from sms_services.segments import GSM_7, GSM_BASIC, GSM_EXTENDED, UCS_2, count_segments

# By code point and apart from the module's literals, so that a slip of the keyboard in one of them shows.
# 3GPP TS 23.038, 6.2.1: codes 00 to 1F without the escape, then the places where the alphabet is not ASCII.
FIRST_TWO_COLUMNS = [
    0x40, 0xA3, 0x24, 0xA5, 0xE8, 0xE9, 0xF9, 0xEC, 0xF2, 0xC7, 0x0A, 0xD8, 0xF8, 0x0D, 0xC5, 0xE5,
    0x394, 0x5F, 0x3A6, 0x393, 0x39B, 0x3A9, 0x3A0, 0x3A8, 0x3A3, 0x398, 0x39E, 0xC6, 0xE6, 0xDF, 0xC9,
]  # fmt: skip
INSTEAD_OF_ASCII = {
    0x24: 0xA4, 0x40: 0xA1, 0x5B: 0xC4, 0x5C: 0xD6, 0x5D: 0xD1, 0x5E: 0xDC, 0x5F: 0xA7,
    0x60: 0xBF, 0x7B: 0xE4, 0x7C: 0xF6, 0x7D: 0xF1, 0x7E: 0xFC, 0x7F: 0xE0,
}  # fmt: skip
EXTENSION = [0x0C, 0x5E, 0x7B, 0x7D, 0x5C, 0x5B, 0x7E, 0x5D, 0x7C, 0x20AC]

HAN = "验"
EMOJI = "😀"
NON_BREAKING_SPACE = "\u00a0"


def segments(text: str) -> int:
    return count_segments(text).segments


class TestTables:
    def test_the_basic_table_is_the_standards(self):
        expected = FIRST_TWO_COLUMNS + [INSTEAD_OF_ASCII.get(code, code) for code in range(0x20, 0x80)]
        assert sorted(map(ord, GSM_BASIC)) == sorted(expected)
        assert len(GSM_BASIC) == 127

    def test_the_extension_table_is_the_standards(self):
        assert sorted(map(ord, GSM_EXTENDED)) == sorted(EXTENSION)

    def test_no_character_is_in_both(self):
        assert not GSM_BASIC & GSM_EXTENDED


class TestEdges:
    @pytest.mark.parametrize(
        ("text", "encoding", "units", "expected"),
        [
            ("", GSM_7, 0, 0),
            ("a", GSM_7, 1, 1),
            ("a" * 160, GSM_7, 160, 1),
            ("a" * 161, GSM_7, 161, 2),
            ("a" * 306, GSM_7, 306, 2),
            ("a" * 307, GSM_7, 307, 3),
            ("a" * 1530, GSM_7, 1530, 10),
            ("a" * 1531, GSM_7, 1531, 11),
            (HAN, UCS_2, 1, 1),
            (HAN * 70, UCS_2, 70, 1),
            (HAN * 71, UCS_2, 71, 2),
            (HAN * 134, UCS_2, 134, 2),
            (HAN * 135, UCS_2, 135, 3),
            ("€" * 80, GSM_7, 160, 1),
            ("€" * 81, GSM_7, 162, 2),
            (EMOJI * 35, UCS_2, 70, 1),
            (EMOJI * 36, UCS_2, 72, 2),
        ],
    )
    def test_lengths(self, text, encoding, units, expected):
        count = count_segments(text)
        assert (count.encoding, count.units, count.segments) == (encoding, units, expected)
        assert count.characters == len(text)

    def test_an_escaped_character_is_not_cut_at_the_end_of_a_part(self):
        # 152 + 2 does not fit into 153: the euro begins the second part, and one septet stays empty.
        assert segments("a" * 152 + "€" + "a" * 151) == 2
        assert segments("a" * 152 + "€" + "a" * 152) == 3
        assert segments("a" * 151 + "€" + "a" * 153) == 2

    def test_escaped_characters_only_leave_a_septet_of_each_part_empty(self):
        assert segments("€" * 152) == 2
        assert segments("€" * 153) == 3

    def test_a_surrogate_pair_is_not_cut_at_the_end_of_a_part(self):
        assert segments(HAN * 66 + EMOJI + HAN * 65) == 2
        assert segments(HAN * 66 + EMOJI + HAN * 66) == 3
        assert segments(HAN * 65 + EMOJI + HAN * 67) == 2

    def test_a_single_segment_may_end_in_the_middle_of_nothing(self):
        assert segments("a" * 158 + "€") == 1
        assert segments("a" * 159 + "€") == 2
        assert segments(HAN * 68 + EMOJI) == 1
        assert segments(HAN * 69 + EMOJI) == 2

    def test_line_breaks_count_as_they_are_sent(self):
        assert count_segments("a\r\nb").units == 4
        assert count_segments("a\fb").units == 4


class TestForcedUcs2:
    @pytest.mark.parametrize(
        "character",
        [NON_BREAKING_SPACE, "’", "“", "–", "…", "ç", "á", "ê", "Á", "α", "`", "\t", "₤", "\u200b", "\ufeff", "？"],
    )
    def test_one_character_outside_the_alphabet_forces_ucs_2(self, character):
        count = count_segments("a" * 100 + character)
        assert (count.encoding, count.segments) == (UCS_2, 2)
        assert count.forcing_characters == (character,)

    def test_a_non_breaking_space_doubles_the_price(self):
        text = "Your code is 123456. It is valid for 5 minutes. Do not tell it to anybody, not even to us."
        assert segments(text) == 1
        assert segments(text.replace("5 minutes", f"5{NON_BREAKING_SPACE}minutes")) == 2

    def test_forcing_characters_come_once_in_the_order_of_the_text(self):
        assert count_segments("验a’验“’").forcing_characters == ("验", "’", "“")

    def test_extended_characters_count_once_in_ucs_2(self):
        assert count_segments("€{}" + HAN).units == 4

    def test_always_ucs_2_has_no_forcing_characters(self):
        count = count_segments("a" * 71, always_ucs_2=True)
        assert (count.encoding, count.units, count.segments, count.forcing_characters) == (UCS_2, 71, 2, ())

    def test_a_lone_surrogate_is_counted_and_does_not_raise(self):
        assert count_segments("\ud83d").units == 1


class TestProperties:
    """Random texts, with the seed in the test's id so that a failure can be had again."""

    ALPHABETS = ("abc ", "ab€", "a" + HAN, HAN + EMOJI, "a€" + EMOJI + NON_BREAKING_SPACE)

    @pytest.fixture(params=range(40))
    def text(self, request):
        generator = random.Random(request.param)
        return "".join(generator.choices(self.ALPHABETS[request.param % 5], k=generator.randrange(1, 900)))

    def test_the_parts_hold_the_text_and_waste_less_than_a_unit_each(self, text):
        count = count_segments(text)
        alone, split = (160, 153) if count.encoding == GSM_7 else (70, 67)
        if count.segments == 1:
            assert count.units <= alone
        else:
            assert count.units > alone
            assert count.units <= split * count.segments
            # Every part but the last is full, or lacks the one unit into which a wide character did not fit.
            assert count.units > (split - 1) * (count.segments - 1)

    def test_a_longer_text_never_takes_fewer_segments(self, text):
        assert segments(text + text[-1]) >= segments(text)

    def test_units_are_those_of_the_encoded_text(self, text):
        count = count_segments(text, always_ucs_2=True)
        assert count.units == len(text.encode("utf-16-be")) // 2
