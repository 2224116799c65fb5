"""Making users at registration. Replace ``create_user`` with the setting ``USER_FACTORY``."""

import secrets
import unicodedata
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import models
from django.utils.module_loading import import_string

from .conf import get_settings
from .exceptions import ErrorCode, Refusal, UnusableFactory
from .models import MobileLogin
from .rows import database

NICKNAME_LENGTH = 30


def create_user(*, number: str, nickname: str, login: MobileLogin) -> Any:
    """Make and save the user of a number that has just been proved.

    The name is random: a number in a user name is shown to others sooner or later. There is no usable password; the
    nickname becomes the first name, where the user model has one.

    Args:
        number: E.164. The caller stores it; it need not be stored with the user.
        nickname: checked, may be empty.
        login: the configuration, for those who make different users for different sites.

    Returns:
        the saved user. Staff and superusers are refused.
    """
    user_model: Any = get_user_model()
    field = user_model._meta.get_field(user_model.USERNAME_FIELD)
    if not _can_be_made_up(field):
        raise ImproperlyConfigured(
            f"Users are named by {field.name} here, which cannot be made up. Set LOGIN_MOBILE['USER_FACTORY']."
        )
    user = user_model(**{field.name: f"m{secrets.token_hex(8)}"[: field.max_length]})
    user.set_unusable_password()
    if nickname and _has_field(user_model, "first_name"):
        user.first_name = nickname
    user.save(using=database())
    return user


def not_filled(user_model: Any) -> list[str]:
    """The fields of a user model that ``create_user`` can fill once at most, or not at all.

    These are a user name that cannot be made up, and all others that are unique, not null and not made by a default.
    """
    meta = user_model._meta
    unique = {field.name for field in meta.concrete_fields if field.unique and not _is_key(field)}
    unique |= {names[0] for rule in meta.total_unique_constraints if len(names := rule.fields) == 1}
    fields = [meta.get_field(name) for name in sorted(unique - {user_model.USERNAME_FIELD})]
    found = [field.name for field in fields if not (field.null or field.generated or _has_varying_default(field))]
    if not _can_be_made_up(meta.get_field(user_model.USERNAME_FIELD)):
        found.insert(0, user_model.USERNAME_FIELD)
    return found


def _is_key(field: Any) -> bool:
    """The model's own primary key or that of a parent, or what links them: Django fills it in."""
    return field.primary_key or (field.remote_field is not None and field.remote_field.parent_link)


def _can_be_made_up(field: Any) -> bool:
    return isinstance(field, models.CharField) and not isinstance(field, models.EmailField)


def _has_varying_default(field: Any) -> bool:
    """A function, which may return something else each time, or the database's own."""
    if field.default is models.NOT_PROVIDED:
        return field.db_default is not models.NOT_PROVIDED
    return callable(field.default)


def make_user(number: str, nickname: str, login: MobileLogin) -> Any:
    """Call the factory, and refuse what it must not make.

    Raises:
        UnusableFactory: it made a member of staff, or nothing that is saved.
    """
    user = import_string(get_settings().USER_FACTORY)(number=number, nickname=nickname, login=login)
    if getattr(user, "pk", None) is None:
        raise UnusableFactory("The user factory has returned no saved user.")
    if is_staff(user):
        raise UnusableFactory("The user factory has made a member of staff: a number alone never makes one.")
    return user


def is_staff(user: Any) -> bool:
    """Whether a number alone is too little for this user."""
    return bool(getattr(user, "is_staff", False) or getattr(user, "is_superuser", False))


def checked_nickname(nickname: object) -> str:
    """A nickname without space around it.

    Raises:
        Refusal: ``invalid_nickname``: it is too long, shows nothing, or has characters that are not seen.
    """
    if isinstance(nickname, str) and len(nickname) <= 4 * NICKNAME_LENGTH:
        nickname = unicodedata.normalize("NFC", nickname).strip()
        if len(nickname) <= NICKNAME_LENGTH and all(map(_is_allowed, nickname)) and any(map(_is_seen, nickname)):
            return nickname
    raise Refusal(ErrorCode.INVALID_NICKNAME)


def _is_allowed(character: str) -> bool:
    # The zero-width joiner and the variation selector hold emoji together.
    return character in " \u200d\ufe0f" or unicodedata.category(character)[0] not in "CZ"


def _is_seen(character: str) -> bool:
    """Whether it shows by itself: a letter, digit or sign, but for the fillers of Hangul and the blank of Braille."""
    return unicodedata.category(character)[0] in "LNPS" and character not in "\u115f\u1160\u2800\u3164\uffa0"


def _has_field(model: type[models.Model], name: str) -> bool:
    try:
        model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True
