"""What is limited, and under which name it is counted. How: ``buckets``.

Codes and wrong ones are counted per number, over all configurations and purposes; the browsers that have logged in as
the number before have buckets of their own (``devices``). Sends that go nowhere are counted like all others: what is
throttled tells nothing about a number.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from .addresses import wider_network
from .buckets import Counter, Full, Window, empty
from .choices import PauseScope, RefusalReason
from .keys import subject_key
from .models import MobileLogin
from .numbers import Number

MINUTE, HOUR, DAY = 60, 3600, 86_400
SENDS, FAILURES, USER_SENDS = "sends", "failures", "user_sends"
ADDRESS_SENDS, ADDRESS_VERIFICATIONS, PASSWORDS = "address_sends", "address_checks", "passwords"
CAP, CAP_REACHED, CAP_JUDGED = "cap", "cap_reached", "cap_judged"
#: The caps of what can pause itself: that of strangers, and that of the browsers that are known.
STRANGERS_CAPS = {PauseScope.PREFIX: "prefix_cap", PauseScope.COUNTRY: "country_cap"}
KNOWN_CAPS = {PauseScope.PREFIX: "known_prefix_cap", PauseScope.COUNTRY: "known_country_cap"}
_REASONS = {
    SENDS: RefusalReason.NUMBER,
    USER_SENDS: RefusalReason.USER,
    ADDRESS_SENDS: RefusalReason.ADDRESS,
    ADDRESS_VERIFICATIONS: RefusalReason.ENTERED_CODES,
    FAILURES: RefusalReason.WRONG_CODES,
    CAP: RefusalReason.DAY,
    **{caps[PauseScope.PREFIX]: RefusalReason.PREFIX for caps in (STRANGERS_CAPS, KNOWN_CAPS)},
    **{caps[PauseScope.COUNTRY]: RefusalReason.COUNTRY for caps in (STRANGERS_CAPS, KNOWN_CAPS)},
}
#: How many times the limit of an IPv6 /64 its /48 has.
SITE = 10


def sends(login: MobileLogin, number: str, known: bool) -> Counter:
    """Codes to one number, asked for by strangers, or by one of the browsers that are known for it."""
    return Counter(SENDS, _whose(number, known), _send_windows(login))


def user_sends(login: MobileLogin, user_id: object) -> Counter:
    """Codes that one logged-in user asks for, whatever the numbers.

    Without a pause between them: who has just confirmed by a code who it is goes on to a code for the new number.
    """
    return Counter(USER_SENDS, str(user_id), _send_windows(login)[1:], order=1)


def address_sends(login: MobileLogin, address: str) -> Sequence[Counter]:
    """Codes asked for from one address, and from the network around it."""
    windows = (Window(HOUR, login.address_sends_per_hour), Window(DAY, login.address_sends_per_day))
    return _of_address(Counter(ADDRESS_SENDS, address, windows, order=2))


def caps(login: MobileLogin, number: Number, known: bool) -> Sequence[Counter]:
    """The budgets of one login. Rows that many share are locked last, so that they are held for the shortest time.

    Browsers that have logged in as their numbers have budgets of their own in a country and prefix, as large: what
    strangers ask for there does not lock them out, and whoever has many numbers is stopped all the same.
    """
    kinds = KNOWN_CAPS if known else STRANGERS_CAPS
    prefix, country = (Window(DAY, login.cap_per_prefix),), (Window(DAY, login.cap_per_country),)
    return [
        Counter(kinds[PauseScope.PREFIX], _of_login(login.pk, number.prefix), prefix, order=3),
        Counter(kinds[PauseScope.COUNTRY], _of_login(login.pk, number.country), country, order=4),
        Counter(CAP, str(login.pk), (Window(DAY, login.cap_per_day),), order=5),
    ]


def cap_reached(kind: str, login_id: int, value: str) -> Counter:
    """That a cap was found to be reached, of which the log takes notice once an hour."""
    return Counter(CAP_REACHED, f"{kind}:{_of_login(login_id, value)}", (Window(HOUR, 1),))


def cap_judged(kind: str, login_id: int, value: str) -> Counter:
    """That it was judged whether this is an attack: by then some more codes have had time to be used."""
    return Counter(CAP_JUDGED, f"{kind}:{_of_login(login_id, value)}", (Window(2 * MINUTE, 1),))


def failures(login: MobileLogin, number: str, known: bool) -> Counter:
    """Wrong codes for one number."""
    windows = (Window(HOUR, login.failures_per_hour), Window(DAY, login.failures_per_day))
    return Counter(FAILURES, _whose(number, known), windows)


def address_verifications(login: MobileLogin, address: str) -> Sequence[Counter]:
    """Codes that are entered from one address, right or wrong, and from the network around it."""
    return _of_address(Counter(ADDRESS_VERIFICATIONS, address, (Window(5 * MINUTE, login.address_verifications),)))


def passwords(user_id: object) -> Counter:
    """Passwords with which a logged-in user confirms who it is."""
    return Counter(PASSWORDS, str(user_id), (Window(HOUR, 10), Window(DAY, 20)))


def reason_of(full: Full) -> RefusalReason:
    """Why somebody has to wait longest."""
    if full.counter.kind == SENDS and full.window == full.counter.windows[0]:
        return RefusalReason.TOO_SOON
    return _REASONS[full.counter.kind]


def lift(number: str, user_ids: Iterable[object]) -> int:
    """Forget what was used up of a number's and these users' limits; returns how many buckets that were."""
    keys = [subject_key(kind, whose) for kind in (SENDS, FAILURES) for whose in (number, _known(number))]
    return empty([*keys, *(subject_key(USER_SENDS, str(user_id)) for user_id in user_ids)])


def lift_address(address: str) -> int:
    """The same of an address as ``client_address`` says it, and of the network around it."""
    kinds, subjects = (ADDRESS_SENDS, ADDRESS_VERIFICATIONS), filter(None, (address, wider_network(address)))
    return empty([subject_key(kind, subject) for subject in subjects for kind in kinds])


def begin_caps_anew(login_id: int, scope: str, value: str) -> None:
    """Forget what was asked for today in a country or prefix, by strangers and by known browsers."""
    kinds = (STRANGERS_CAPS[PauseScope(scope)], KNOWN_CAPS[PauseScope(scope)])
    noted = [counter(kind, login_id, value).key for kind in kinds for counter in (cap_reached, cap_judged)]
    empty([*noted, *(subject_key(kind, _of_login(login_id, value)) for kind in kinds)])


def _of_login(login_id: int, value: str) -> str:
    return f"{login_id}:{value}"


def _of_address(counter: Counter) -> Sequence[Counter]:
    """An address's counter, and where one site may have many such addresses, the site's, for ``SITE`` times as much."""
    site = wider_network(counter.subject)
    if site is None:
        return [counter]
    windows = tuple(Window(window.seconds, SITE * window.limit) for window in counter.windows)
    return [counter, replace(counter, subject=site, windows=windows)]


def _send_windows(login: MobileLogin) -> tuple[Window, ...]:
    return (Window(login.send_pause, 1), Window(HOUR, login.sends_per_hour), Window(DAY, login.sends_per_day))


def _whose(number: str, known: bool) -> str:
    """Strangers share a number's limits, and so do its known browsers: whoever has it can make many of those."""
    return _known(number) if known else number


def _known(number: str) -> str:
    return f"{number}/known"
