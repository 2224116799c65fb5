from . import challenges, logins, numbers, pauses, review

__all__ = ["challenges", "logins", "numbers", "pauses", "review"]
