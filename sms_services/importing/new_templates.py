"""What a template that is new here is called, and what it is for."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import count

from ..choices import Purpose, TemplateKind
from ..keys import LENGTH, folded, key_of, key_of_name
from ..models import SmsTemplate
from ..placeholders import placeholder_names
from ..providers.base import RegisteredTemplate
from .changes import wording

_NAME_LENGTH = 100

#: What texts of each kind may be used for; a new template gets the first of these.
_PURPOSES: Mapping[TemplateKind, tuple[Purpose, ...]] = {
    TemplateKind.OTP: (Purpose.OTP,),
    TemplateKind.NOTIFICATION: (Purpose.NOTIFICATION, Purpose.APPROVAL, Purpose.CC),
    TemplateKind.MARKETING: (Purpose.MARKETING,),
}


def new_template(registered: RegisteredTemplate) -> SmsTemplate:
    """The template for a code that none has, unsaved and without a key."""
    return SmsTemplate(
        name=registered.name.strip()[:_NAME_LENGTH],
        text=wording(registered.text),
        purpose=next(iter(purposes_of(registered)), Purpose.NOTIFICATION),
    )


def purposes_of(registered: RegisteredTemplate) -> tuple[Purpose, ...]:
    """What a text may be used for. International templates do not say it: one with ``${code}`` is taken for a one-time
    code, as such codes are kept unreadable."""
    if registered.kind is None:
        return ()
    if registered.kind != TemplateKind.INTERNATIONAL:
        return _PURPOSES[registered.kind]
    if "code" in placeholder_names(registered.text):
        return (Purpose.OTP,)
    return (Purpose.NOTIFICATION, Purpose.APPROVAL, Purpose.CC, Purpose.MARKETING)


class Keys:
    """Keys for new templates: of the name if it says something, else of the code; in small letters.

    A name that the list holds twice never stands alone: which template gets it would depend on which came first.
    """

    def __init__(self, listed: Iterable[RegisteredTemplate], taken: Iterable[str]) -> None:
        self._names = Counter(key_of_name(template.name) for template in listed)
        self._taken = {folded(key) for key in taken}

    def take(self, registered: RegisteredTemplate) -> str:
        """The best key that is free, which then is taken."""
        key = next(key for key in self._candidates(registered) if key not in self._taken)
        self._taken.add(key)
        return key

    def _candidates(self, registered: RegisteredTemplate) -> Iterator[str]:
        code, name = key_of(registered.code), key_of_name(registered.name)
        if name and name != code:
            if self._names[name] == 1:
                yield name
            yield _joined(name, code.removeprefix("sms-"))
        yield code
        yield from (_joined(code, str(number)) for number in count(2))


def _joined(words: str, ending: str) -> str:
    """A key with this ending, however long the words are."""
    ending = ending[-LENGTH // 2 :]
    return f"{words[: LENGTH - len(ending) - 1].strip('-')}-{ending}"
