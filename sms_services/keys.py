"""Keys that are made of names: in small letters, without those that a key cannot have."""

import re
import unicodedata

from django.utils.text import slugify

LENGTH = 50


def key_of(words: str) -> str:
    """As much of these words as a key can say."""
    return slugify(words).replace("_", "-")[:LENGTH].strip("-")


def key_of_name(name: str) -> str:
    """Empty if a key would leave out what the name says: of “促销 A” it would keep an “a”."""
    letters = unicodedata.normalize("NFKD", name)
    if any(letter.isalnum() and not letter.isascii() for letter in letters):
        return ""
    key = key_of(name)
    return key if re.search("[a-z]", key) else ""


def folded(key: str) -> str:
    """Keys that are equal like this are one key for the least strict database: MariaDB compares without case and
    accents."""
    return slugify(key)
