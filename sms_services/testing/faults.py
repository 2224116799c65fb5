"""What goes wrong at the fake vendor, and for whom."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ..choices import ErrorKind, Outcome
from ..models import SmsService
from ..phone_numbers import normalize
from ..providers.base import ProviderError, Result


class Fault(StrEnum):
    """How a try goes wrong."""

    #: The vendor takes the text, and the answer is lost: the text arrives, the message is ``unknown``.
    TIMEOUT = "timeout"
    #: The request is lost on its way: nothing arrives, the message is ``unknown``.
    LOST = "lost"
    #: The vendor asks for a pause: the message is ``queued`` and tried again.
    THROTTLED = "throttled"
    #: The vendor cannot be reached: the message is ``queued`` and tried again.
    DOWN = "down"
    #: The vendor does not take the text: the message is ``failed``, with a kind of error.
    REFUSED = "refused"


@dataclass
class Rule:
    """Which tries meet a fault. ``times`` counts down; ``None``: always."""

    fault: Fault
    times: int | None
    numbers: frozenset[str] | None
    service: str | None
    kind: ErrorKind
    code: str

    def concerns(self, service: str, errors: Mapping[str, ProviderError], phone_number: str) -> bool:
        """Whether a try meets it. A vendor's code comes from vendors that have it in their table."""
        return (
            self.times != 0
            and self.service in {None, service}
            and (self.numbers is None or phone_number in self.numbers)
            and (not self.code or self.code in errors)
        )

    def result(self, errors: Mapping[str, ProviderError]) -> Result:
        """What our side learns of a try that met it, in the vendor's own codes where its table has one."""
        match self.fault:
            case Fault.TIMEOUT | Fault.LOST:
                return Result(Outcome.UNCERTAIN, ErrorKind.TRANSIENT, "ReadTimeout")
            case Fault.DOWN:
                code = _code_of(errors, ErrorKind.TRANSIENT, retry=True) or "ConnectionRefused"
                return Result(Outcome.NOT_SENT, ErrorKind.TRANSIENT, code)
            case Fault.THROTTLED:
                code = _code_of(errors, ErrorKind.THROTTLED, retry=True) or "Throttled"
                return Result(Outcome.NOT_SENT, ErrorKind.THROTTLED, code)
            case Fault.REFUSED:
                if self.code:
                    entry = errors[self.code]
                    return Result(Outcome.NOT_SENT if entry.retry else Outcome.REFUSED, entry.kind, self.code)
                return Result(Outcome.REFUSED, self.kind, _code_of(errors, self.kind, retry=False) or "Refused")


class Faults:
    """The faults of one outbox, the earliest first. Several threads may send."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def add(
        self,
        fault: str,
        times: int | None,
        numbers: str | Iterable[str] | None,
        service: SmsService | str | None,
        kind: str | None,
        code: str,
    ) -> None:
        if fault not in list(Fault):
            raise ValueError(f"There is no fault {fault!r}. Known are: {', '.join(Fault)}.")
        if (kind or code) and fault != Fault.REFUSED:
            raise ValueError(f"kind= and code= go with {Fault.REFUSED.value!r} only, not with {fault!r}.")
        if kind and code:
            raise ValueError("Give kind= or code=, not both: the table of the vendor's errors knows a code's kind.")
        if code and not any(code in known for known in _tables()):
            raise ValueError(f"No provider has the code {code!r} in its table of errors. Give one that has, or kind=.")
        if times is not None and times < 1:
            raise ValueError("times= is 1 or more; leave it out for always.")
        rule = Rule(
            fault=Fault(fault),
            times=times,
            numbers=_normalized(numbers),
            service=service.key if isinstance(service, SmsService) else service,
            kind=ErrorKind(kind or ErrorKind.RECIPIENT),
            code=code,
        )
        with self._lock:
            self._rules.append(rule)

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def met_by(self, service: str, errors: Mapping[str, ProviderError], phone_number: str) -> Rule | None:
        """The fault that this try meets, used up by one; ``None`` if it goes well."""
        with self._lock:
            rule = next((rule for rule in self._rules if rule.concerns(service, errors, phone_number)), None)
            if rule is not None and rule.times is not None:
                rule.times -= 1
            return rule


def _normalized(numbers: str | Iterable[str] | None) -> frozenset[str] | None:
    if numbers is None:
        return None
    return frozenset(normalize(number) for number in ([numbers] if isinstance(numbers, str) else numbers))


def _code_of(errors: Mapping[str, ProviderError], kind: ErrorKind, *, retry: bool) -> str | None:
    return next((code for code, entry in errors.items() if entry.kind == kind and entry.retry is retry), None)


def _tables() -> list[Mapping[str, ProviderError]]:
    return [kind.provider_class.errors for kind in SmsService.__subclasses__() if hasattr(kind, "provider_class")]
