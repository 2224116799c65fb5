"""Secrets at rest: Fernet tokens under a list of keys, and a value that never shows itself.

The first key of ``SMS_SERVICES["ENCRYPTION_KEYS"]`` encrypts, all of them decrypt. A token that none of
them opens raises ``EncryptionKeyError``; it is never mistaken for plain text.
"""

import hmac
from collections.abc import Sequence
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.utils.translation import gettext as _

from .conf import get_settings
from .exceptions import EncryptionKeyError

GENERATE_COMMAND = 'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
MASK = "••••••••"


def encrypt(plaintext: str) -> str:
    """Encrypt a text with the first key.

    Raises:
        EncryptionKeyError: there are no keys, or one is malformed.
    """
    return _fernet().encrypt(plaintext.encode()).decode()


def decrypt(token: str, *, max_age: int | None = None) -> str:
    """Decrypt what ``encrypt`` returned, with whichever key fits.

    Args:
        max_age: seconds after which the token is refused, as if no key fitted; ``None``: never.

    Raises:
        EncryptionKeyError: no key fits, or there are no keys.
    """
    try:
        return _fernet().decrypt(token.encode(), ttl=max_age).decode()
    except InvalidToken:
        # Raised below, so that no frame with the token becomes part of the error.
        pass
    raise EncryptionKeyError(
        _(
            "A stored secret cannot be decrypted: none of SMS_SERVICES['ENCRYPTION_KEYS'] is the key that encrypted "
            "it. Put that key back into the list, or enter the secret anew."
        )
    )


def reencrypt(token: str) -> str:
    """The same secret, encrypted with the first key.

    Raises:
        EncryptionKeyError: no key fits.
    """
    return encrypt(decrypt(token))


def check_keys() -> None:
    """Raise ``EncryptionKeyError`` unless there are keys and all are well-formed."""
    _fernet()


def _fernet() -> MultiFernet:
    return _fernet_of(tuple(get_settings().ENCRYPTION_KEYS))


@lru_cache(maxsize=4)
def _fernet_of(keys: Sequence[str]) -> MultiFernet:
    if not keys:
        raise EncryptionKeyError(
            _("SMS_SERVICES['ENCRYPTION_KEYS'] is empty. Make a key with: %(command)s") % {"command": GENERATE_COMMAND}
        )
    fernets = []
    for number, key in enumerate(keys, start=1):
        try:
            fernets.append(Fernet(key))
        except (ValueError, TypeError):
            malformed = number
            break
    else:
        return MultiFernet(fernets)
    raise EncryptionKeyError(
        _(
            "Key %(number)d of SMS_SERVICES['ENCRYPTION_KEYS'] is no Fernet key (32 bytes in URL-safe base64). Make "
            "one with: %(command)s"
        )
        % {"number": malformed, "command": GENERATE_COMMAND}
    )


class Secret:
    """A secret that stays encrypted in memory until ``reveal()`` is called, and prints as a mask."""

    __slots__ = ("token",)

    def __init__(self, token: str) -> None:
        self.token = token

    @classmethod
    def of(cls, plaintext: str) -> "Secret":
        """Encrypt a plain text.

        Raises:
            EncryptionKeyError: there are no keys, or one is malformed.
        """
        return cls(encrypt(plaintext))

    def reveal(self) -> str:
        """The plain text.

        Raises:
            EncryptionKeyError: no key fits.
        """
        return decrypt(self.token)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Secret):
            if hmac.compare_digest(self.token, other.token):
                return True
            return hmac.compare_digest(self.reveal().encode(), other.reveal().encode())
        if other == "":
            return False
        if isinstance(other, str):
            return hmac.compare_digest(self.reveal().encode(), other.encode())
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"<Secret {MASK}>"
