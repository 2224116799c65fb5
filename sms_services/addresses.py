"""What people type, in an address: encrypted, and readable for a day.

Web servers, proxies and browsers keep addresses, and pages send theirs along as Referer. So a phone number that a page
has to remember from one request to the next stands there as a token. It is another one each time, and does not tell
whether somebody was searched for twice.
"""

from .encryption import decrypt, encrypt
from .exceptions import EncryptionKeyError

#: Seconds. Long enough for a day's work with a list that stays open.
MAX_AGE = 86_400


def seal(typed: str, use: str) -> str:
    """A token for an address.

    Args:
        use: what it is for. It cannot be read for anything else, nor can any other secret of the database.

    Raises:
        EncryptionKeyError: there are no keys, or one is malformed.
    """
    return encrypt(f"{use}:{typed}")


def unseal(token: str, use: str) -> str | None:
    """What was typed; ``None`` if this is no token for this use, or is too old."""
    try:
        sealed_for, _colon, typed = decrypt(token, max_age=MAX_AGE).partition(":")
    except EncryptionKeyError:
        return None
    return typed if sealed_for == use else None
