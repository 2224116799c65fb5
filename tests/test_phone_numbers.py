"""Phone numbers: any notation in, E.164 inside, masked wherever somebody sees them."""

import pytest

from sms_services.exceptions import InvalidPhoneNumber
from sms_services.phone_numbers import country_code, is_mainland_china, mask, normalize

US, CHINA = "+12065550123", "+8613800000000"

#: (as somebody wrote it, the country that it is read in, E.164)
SPELLINGS = [
    # As it is, and with what people put between the digits
    ("+12065550123", "", US),
    ("+1 206 555 0123", "", US),
    ("+1 (206) 555-0123", "", US),
    ("+1-206-555-0123", "", US),
    ("+1.206.555.0123", "", US),
    ("+1/206/555/0123", "", US),
    ("+1 206-555.0123", "", US),
    ("+1(206)5550123", "", US),
    ("+ 1 206 555 0123", "", US),
    ("+1  206   555 0123", "", US),
    ("+1 20 65 55 01 23", "", US),
    # Around it
    ("  +12065550123  ", "", US),
    ("\t+12065550123\r\n", "", US),
    ("\u00a0+12065550123\u00a0", "", US),
    ("\u3000+12065550123", "", US),
    # Without country code, where the country is known
    ("2065550123", "US", US),
    ("(206) 555-0123", "US", US),
    ("206.555.0123", "US", US),
    ("1 206 555 0123", "US", US),
    ("12065550123", "US", US),
    ("1-206-555-0123", "US", US),
    ("011 1 206 555 0123", "US", US),
    ("011 86 138 0000 0000", "US", CHINA),
    # China
    ("13800000000", "CN", CHINA),
    ("138 0000 0000", "CN", CHINA),
    ("138-0000-0000", "CN", CHINA),
    ("+86 138 0000 0000", "", CHINA),
    ("+86-13800000000", "", CHINA),
    ("(+86) 138 0000 0000", "CN", CHINA),
    ("(+86)13800000000", "", CHINA),
    ("86 13800000000", "CN", CHINA),
    ("8613800000000", "CN", CHINA),
    ("0086 138 0000 0000", "CN", CHINA),
    ("008613800000000", "CN", CHINA),
    ("00 1 206 555 0123", "CN", US),
    # A country code wins over the country of the setting
    ("+86 138 0000 0000", "US", CHINA),
    ("+1 206 555 0123", "CN", US),
    ("+44 7911 123456", "US", "+447911123456"),
    # Dashes of all lengths
    ("+1\u2010206\u2011555\u20120123", "", US),
    ("+1\u2013206\u2014555\u20150123", "", US),
    ("+1\u2212206\u2212555\u22120123", "", US),
    ("+1\uff0d206\uff0d555\uff0d0123", "", US),
    # Spaces of all widths
    ("+1\u00a0206\u00a0555\u00a00123", "", US),
    ("+1\u2009206\u2009555\u20090123", "", US),
    ("+1\u202f206\u202f555\u202f0123", "", US),
    ("+1\u3000206\u3000555\u30000123", "", US),
    # Full-width signs
    ("\uff0b\uff11\uff12\uff10\uff16\uff15\uff15\uff15\uff10\uff11\uff12\uff13", "", US),
    ("\uff11\uff13\uff18\uff10\uff10\uff10\uff10\uff10\uff10\uff10\uff10", "CN", CHINA),
    ("\uff08206\uff09555\uff0d0123", "US", US),
    ("+86\u3000138\uff0d0000\uff0d0000", "", CHINA),
    # Digits of other scripts
    ("+\u0661\u0662\u0660\u0666\u0665\u0665\u0665\u0660\u0661\u0662\u0663", "", US),  # Arabic-Indic
    ("+\u06f1\u06f2\u06f0\u06f6\u06f5\u06f5\u06f5\u06f0\u06f1\u06f2\u06f3", "", US),  # Persian
    ("+\u0967\u0968\u0966\u096c\u096b\u096b\u096b\u0966\u0967\u0968\u0969", "", US),  # Devanagari
    ("+1 206 555 \u0e50\u0e51\u0e52\u0e53", "", US),  # Thai
    # Elsewhere
    ("+49 (0)30 123456", "", "+4930123456"),
    ("030 123456", "DE", "+4930123456"),
    ("020 7946 0123", "GB", "+442079460123"),
    ("+852 5123 4567", "", "+85251234567"),
    ("+886 912 345 678", "", "+886912345678"),
    ("+81 90-1234-5678", "", "+819012345678"),
    ("090-1234-5678", "JP", "+819012345678"),
    ("+33 6 12 34 56 78", "", "+33612345678"),
    ("06 12 34 56 78", "FR", "+33612345678"),
    ("+91 98765 43210", "", "+919876543210"),
]

REFUSED = [
    "", " ", "\n", "+", "-", "()", "0", "1", "+0", "911", "110", "12520", "+1", "+86",
    "2065550123", "138 0000 0000",  # no country
    "+1206555012", "+120655501234", "+1 006 555 0123", "+999 123 456 789", "+86 138 0000 000",
    "+1 206 555 CALL", "1-800-FLOWERS", "call me", "+1 206 555 0123 x9", "+1 206 555 0123 ext. 9", "+12065550123;ext=9",
    "+12065550123,9", "+12065550123#9", "+12065550123*", "tel:+12065550123", "+1 206 555 0123\x00", "+1 206\n555 0123",
    "+1\t206\t555\t0123", "+12065550123, +12065550124", "+12065550123 +12065550124", "++12065550123", "12065550123+",
    "+1\u200b2065550123", "\u200b+12065550123", "+12065550123\u200d", "\u202a+12065550123\u202c", "\ufeff+12065550123",
    "+1\u00ad2065550123", "+l 206 555 0123", "+1 2O6 555 0123", "+1 206 555 012\u00bd", "☎ +12065550123",
    "<script>", "'; DROP TABLE", "${number}", "%2B12065550123", "1e10", "+1_206_555_0123",
    "1" * 300, "+" + "1" * 300, "+12065550123" + " " * 300, "9" * 40, "1" * 10**6,
]  # fmt: skip


@pytest.fixture(autouse=True)
def _no_country(sms_settings):
    sms_settings(DEFAULT_REGION="")


@pytest.mark.parametrize(("written", "region", "number"), SPELLINGS)
def test_a_number_is_read_in_every_usual_notation(written, region, number):
    assert normalize(written, region=region) == number
    assert normalize(number) == number


@pytest.mark.parametrize("written", REFUSED, ids=lambda written: repr(written[:24]))
def test_what_is_no_number_is_refused_and_not_repeated(written):
    with pytest.raises(InvalidPhoneNumber) as raised:
        normalize(written)
    said = str(raised.value)
    assert said.endswith(".")
    assert len(said) < 200
    digits = "".join(filter(str.isdigit, written))
    assert len(digits) < 5 or digits not in "".join(filter(str.isdigit, said.replace("+1 206 555 0100", "")))


@pytest.mark.parametrize("written", [None, 12065550123, 1.5, True, b"+12065550123", ["+12065550123"], object()])
def test_what_is_no_string_is_refused(written):
    with pytest.raises(InvalidPhoneNumber, match="must be a string, not"):
        normalize(written)


def test_the_country_of_the_setting_is_read_when_used(sms_settings):
    with pytest.raises(InvalidPhoneNumber, match="plus and country code"):
        normalize("206 555 0123")
    sms_settings(DEFAULT_REGION="US")
    assert normalize("206 555 0123") == US
    sms_settings(DEFAULT_REGION="CN")
    assert normalize("138 0000 0000") == CHINA


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        (US, "+1 206****0123"),
        (CHINA, "+86 138****0000"),
        ("+85251234567", "+852 ****67"),
        ("+447911123456", "+44 791****3456"),
        ("+4930123456", "+49 ****56"),
        ("rubbish", "****"),
        ("", "****"),
        ("12065550123", "****"),
    ],
)
def test_a_masked_number_shows_its_country_and_both_ends(number, masked):
    assert mask(number) == masked


def test_mainland_china_is_not_its_neighbours():
    assert [is_mainland_china(number) for number in (CHINA, US, "+85251234567", "+85366123456", "+886912345678")] == [
        True, False, False, False, False,
    ]  # fmt: skip
    assert [country_code(number) for number in (CHINA, US, "+85251234567")] == [86, 1, 852]
