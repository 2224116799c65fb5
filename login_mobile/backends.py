"""The authentication backend. It goes into AUTHENTICATION_BACKENDS, beside whatever else is there."""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest

from .users import is_staff


def _may_be_staff(user: Any) -> bool:
    """Whether some login is for staff too, be it switched off: who is logged in stays so. Review accounts never are."""
    from .models import MobileLogin, ReviewNumber
    from .rows import database

    logins = MobileLogin.objects.using(database()).filter(allow_staff=True)
    return logins.exists() and not ReviewNumber.objects.using(database()).filter(user=user).exists()


class MobileBackend(BaseBackend):
    """Lets in who has proved a number.

    ``authenticate`` takes a ``Verified``, which ``verify_code`` returns: no form and no JSON can hold one, so no other
    login page can reach this backend with what somebody typed. ``user_can_authenticate`` (by default: active users) is
    honoured; a subclass may refine it. Permissions are another backend's job: this one grants none.
    """

    def authenticate(self, request: HttpRequest | None, mobile_proof: Any = None, **kwargs: Any) -> Any:
        from .flows.entering import Verified

        if not isinstance(mobile_proof, Verified):
            return None
        user = mobile_proof.user
        if is_staff(user) and (mobile_proof.is_review or not mobile_proof.login.allow_staff):
            return None
        return user if self.user_can_authenticate(user) else None

    def user_can_authenticate(self, user: Any) -> bool:
        """Whether this user may log in at all; users of models without ``is_active`` may."""
        return bool(getattr(user, "is_active", True))

    def get_user(self, user_id: Any) -> Any:
        """The user of a session, as long as they may log in: also if they were made staff meanwhile."""
        user = get_user_model()._default_manager.filter(pk=user_id).first()
        if user is None or not self.user_can_authenticate(user):
            return None
        return None if is_staff(user) and not _may_be_staff(user) else user
