"""Keyed hashes under SECRET_KEY and its fallbacks: of codes, and of the subjects of limits.

HMAC-SHA256 with a key of its own for each use, derived from SECRET_KEY and the use's name (``salted_hmac``): a hash of
one use says nothing of another, and a database without SECRET_KEY says nothing of a code, short as it is.
"""

import hashlib
import secrets

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac
from django.views.decorators.debug import sensitive_variables


@sensitive_variables("value")
def digests(salt: str, value: str) -> list[str]:
    """The hashes of a value: with SECRET_KEY first, then with each of SECRET_KEY_FALLBACKS."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [salted_hmac(salt, value, secret=key, algorithm="sha256").hexdigest() for key in keys]


def one_of(digest: str, candidates: list[str]) -> bool:
    """Whether a stored hash is one of these, in the same time for whatever is stored. Nothing stored fits nothing."""
    stored = digest or secrets.token_hex(32)
    found = [constant_time_compare(stored, candidate) for candidate in candidates]
    return any(found) and bool(digest)


def subject_key(kind: str, subject: str) -> str:
    """Under what a limit counts for a number, an address or the like.

    The *oldest* key that is configured makes it, so that a new SECRET_KEY, announced by moving the old one to the
    fallbacks, does not begin all limits anew.
    """
    oldest = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS][-1]
    return salted_hmac("login_mobile.limits", f"{kind}:{subject}", secret=oldest, algorithm="sha256").hexdigest()


def new_token() -> str:
    """An opaque token of 256 bits."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What the database holds of a token. It has 256 bits, so a plain hash hides it."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_code(length: int) -> str:
    """Random digits. It is a string: a leading zero counts."""
    return "".join(secrets.choice("0123456789") for _ in range(length))
