"""What people are called."""

from typing import Any


def full_name_or_username(user: Any) -> str:
    """The user's full name, else the user name: what the history shows, and the default ``${userNick}`` of texts."""
    name = user.get_full_name() if hasattr(user, "get_full_name") else ""
    return str(name or user.get_username())


def name_of(user: Any) -> str:
    """The name as the history keeps it; empty for nobody."""
    return full_name_or_username(user)[:200] if user is not None else ""
