"""Three hundred odd spellings: one identity, or a clear refusal; never a 500, and never a text to somebody else."""

from __future__ import annotations

import itertools
import unicodedata
from typing import Any

import pytest

from login_mobile.buckets import empty
from login_mobile.exceptions import Refusal
from login_mobile.models import Bucket, Challenge, MobileNumber
from login_mobile.numbers import parse_number
from tests.login_under_test import GENEROUS, FrontEnd, a_login, codes_sent, error

pytest_plugins = ["tests.login_under_test"]

MAINLAND = "+8613800000123"
AMERICAN = "+12065550123"

#: Zeros of scripts with digits of their own.
ZEROS = "0٠۰߀०০੦૦୦௦౦೦൦෦๐໐༠၀႐០᠐᥆᧐᪀᪐᭐᮰᱀᱐꘠꣐꤀꧐꧰꩐꯰０𐒠𑁦𑃰𑄶𑇐𑋰𑑐𑓐𑙐𑛀𑜰𑣠𝟎𝟘𝟢𝟬𝟶🯰"


def in_digits(text: str, zero: str) -> str:
    return "".join(chr(ord(zero) + int(character)) if character.isdigit() else character for character in text)


def spellings(national: str, country: str) -> list[str]:
    """How people write one number."""
    a, b, c = national[:3], national[3:-4], national[-4:]
    grouped = [
        f"{a}{one}{b}{two}{c}" for one, two in itertools.product(["", " ", "-", ".", "\u00a0", "\u2011"], repeat=2)
    ]
    prefixes = [f"+{country}", f"+{country} ", f"00{country}", f"00 {country} ", f"＋{country}", f"(+{country}) "]
    whole = [f"{prefix}{body}" for prefix, body in itertools.product(prefixes, grouped[:8])]
    whole += [
        f"  {national}  ",
        f"({a}) {b} {c}",
        f"({a}){b}-{c}",
        f"{a}/{b}/{c}",
        f"{a}\u3000{b}\u2003{c}",
        f"{a}–{b}—{c}",
    ]
    return [*grouped, *whole]


ONE_MAINLAND = [*spellings("13800000123", "86"), *(in_digits("+86 138 0000 0123", zero) for zero in ZEROS)]
ONE_AMERICAN = [*spellings("2065550123", "1"), *(in_digits("(206) 555-0123", zero) for zero in ZEROS)]

#: Refused, with whatever region.
REFUSED: list[Any] = [
    "", " ", "+", "++", "0", "00", "000", "1", "123", "+1", "+86", "0086", "-", "()", "(", ")", "+()", "\t", "\n",
    "\x00",
    "+86 138 0000 0123 ext 5", "+86 138 0000 0123 x5", "+8613800000123;ext=5", "tel:+8613800000123",
    "+8613800000123#5",
    "+8613800000123,5", "+8613800000123*5", "+86 1 800 FLOWERS", "1-800-FLOWERS", "206555O123", "2O65550123", "abc",
    "+86 138 0000 0123\u200b", "+86\u200b13800000123", "\ufeff+8613800000123", "+86138\u200d00000123",
    "+86138\u00ad0000123",
    "\u202e+8613800000123", "+8613800000123\u2060", "\u2066+8613800000123\u2069", "+8613800000123\x00",
    "+86138\x000000123",
    "1" * 41, "1" * 300, "+" + "8613800000123" * 30, "9" * 10_000, "٠" * 300, "+86138000001234567", "+8613800",
    "+8600000000000",
    "+999123456789", "+0", "+00", "+210 1234567", "+86+13800000123", "+86 138 0000 0123 +", "86+13800000123",
    "+86 138 0000 0123 / +86 138 0000 0124", "13800000123,13800000124", "13800000123;13800000124",
    "13800000123\n13800000124",
    "一三八零零零零零一二三", "Ⅰ380000", "½3800000123", "1e10", "0x206555", "1.38e10", "-13800000123.5e",
    "13８OOOOO123",
    "<script>alert(1)</script>", "' OR 1=1 --", "${code}", "{{ 7*7 }}", "%00", "../../etc/passwd", "\ud800",
    "\udfff+86",
    "💩", "☎ 13800000123", "📱+8613800000123", "+1 (206) 555-0123 ext. 9", "+1-206-555-0123x9", "[206]5550123",
    "2065550123a", "a2065550123", "206_555_0123", "206=555=0123", "206\\5550123", "206|5550123", "+1~2065550123",
    None, True, False, 0, 1, -1, 13800000123, 8613800000123, 1.5, 1e300, [], [MAINLAND], {}, {"number": MAINLAND},
    [[]],
]  # fmt: skip


def test_there_are_more_than_three_hundred():
    assert len({repr(spelling) for spelling in [*ONE_MAINLAND, *ONE_AMERICAN, *REFUSED]}) > 300


@pytest.mark.parametrize(
    ("phone", "region", "written"),
    [(MAINLAND, "CN", ONE_MAINLAND), (AMERICAN, "US", ONE_AMERICAN)],
    ids=["mainland China", "America"],
)
def test_they_are_one_identity_one_bucket_one_user(broker, transactional_db, phone, region, written):
    a_login(**{**GENEROUS, "pause_below_percent": 0})
    client = FrontEnd(lambda: 0)
    for spelling in written:
        answer = client.ask(spelling, region=region)
        assert answer.status_code == 202, (spelling, answer.content)
        (again,) = [client.ask(phone)]
        assert error(again) == (429, "throttled"), spelling
        empty(list(Bucket.objects.values_list("key", flat=True)))
    assert set(Challenge.objects.values_list("phone_number", flat=True)) == {phone}
    broker.work()
    while broker.work():
        pass
    # All but the newest were replaced, so one text goes out.
    assert len(codes_sent(phone)) == 1
    newest = client.post("verify", {"challenge": answer.json()["challenge"], "code": codes_sent(phone)[0]})
    assert newest.json()["created"] is True
    assert MobileNumber.objects.get().number == phone


@pytest.mark.parametrize("region", ["CN", "US", None])
def test_all_others_are_refused_in_words(broker, transactional_db, region):
    a_login(**GENEROUS)
    client = FrontEnd(lambda: 0)
    for spelling in REFUSED:
        answer = client.ask(spelling, region=region)
        assert answer.status_code == 400, (spelling, answer.content)
        refusal = answer.json()["error"]
        assert refusal["code"] in ("invalid_phone", "malformed", "not_mobile"), (spelling, refusal)
        assert refusal["message"]
        if isinstance(spelling, str) and len(spelling) > 7:
            assert spelling not in refusal["message"]
    assert not Challenge.objects.exists()
    assert broker.take("sms-codes") == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"5", b'"+8613800000123"', b"\xff\xfe", b'{"phone":', b"[" * 10_000, b'{"a":' * 5_000,
     b'{"phone": "\xff"}', b"{}" + b" " * 20_000, b'{"phone": NaN}', b"\x00", b'{"phone": 1e999999}'],
    ids=lambda body: repr(body[:12]),
)  # fmt: skip
def test_a_body_that_is_no_object_is_refused(front_end, login, body):
    client = front_end()
    for path in ("request", "resend", "verify", "status", "number/request", "reauthenticate/verify"):
        answer = client.client.post(f"/login/api/{path}/", body, content_type="application/json")
        assert answer.status_code in (400, 401, 404), (path, answer.content)
        assert answer.json()["error"]["code"] in (
            "malformed", "invalid_phone", "unknown_challenge", "not_authenticated",
        )  # fmt: skip


@pytest.mark.parametrize("config", [5, [], {}, "", "nobody's", "a" * 51, "\u0000", "\ud800", "é", "main\n", True])
def test_a_config_that_is_none_is_refused(front_end, login, config):
    assert error(front_end().ask(config=config)) == (404, "unknown_config")


@pytest.mark.parametrize(
    "spelling", ["0049 170 1234567⑧", "0043 664 1234567⑧", "0086 138 0000 000①", "0044 7700 90012³"]
)
def test_a_sign_that_is_taken_for_a_digit_gets_not_lost(broker, transactional_db, spelling):
    """Without it, the number would be somebody else's."""
    login = a_login(regions=["US", "DE", "AT", "CN", "GB"])
    try:
        number = parse_number(spelling, login, "US")
    except Refusal:
        return
    folded = unicodedata.normalize("NFKC", spelling).replace(" ", "")
    assert number.e164 == f"+{folded[2:]}"
