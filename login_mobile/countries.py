"""Countries and regions as people know them: by a name in their language, and a calling code.

The libraries are imported at their first use: a process starts sooner without them.
"""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from django.utils.translation import get_language, to_locale


def country_name(region: str) -> str:
    """The name of an ISO 3166 code in the active language; the code itself where the language has none for it."""
    return _names(get_language() or "en").get(region, region)


def calling_code(region: str) -> int:
    """``86`` for ``CN``; 0 for a region without numbers."""
    import phonenumbers

    return phonenumbers.country_code_for_region(region)


def described(region: str) -> str:
    """What stands in a list to choose from: ``United States (+1)``."""
    return f"{country_name(region)} (+{calling_code(region)})"


def by_name(regions: Iterable[str]) -> list[str]:
    """Regions in the order in which a person looks for them."""
    return sorted(regions, key=lambda region: _sorting_key(country_name(region)))


def _sorting_key(name: str) -> bytes:
    # GB 18030 has its common Chinese characters in the order of their sounds, as a person looks for them; Unicode not.
    decomposed = unicodedata.normalize("NFKD", name)
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    return plain.casefold().encode("gb18030")


@lru_cache
def _names(language: str) -> dict[str, str]:
    from babel import Locale, UnknownLocaleError

    locale = to_locale(language)
    for identifier in (locale, locale.split("_")[0], "en"):
        try:
            return dict(Locale.parse(identifier).territories)
        except (UnknownLocaleError, ValueError):
            continue
    return {}
