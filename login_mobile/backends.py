"""The authentication backend. It goes into AUTHENTICATION_BACKENDS, beside whatever else is there."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from .users import is_staff


class MobileBackend(ModelBackend):
    """Lets in who has proved a number.

    ``authenticate`` takes a ``Verified``, which ``verify_code`` returns: no form and no JSON can hold one, so no other
    login page can reach this backend with what somebody typed. ``user_can_authenticate`` (by default: active users) is
    honoured; a subclass may refine it. Permissions are ``ModelBackend``'s job: this one grants none.
    """

    def authenticate(  # type: ignore[override]
        self, request: HttpRequest | None, mobile_proof: Any = None, **kwargs: Any
    ) -> Any:
        from .flows.entering import Verified

        if not isinstance(mobile_proof, Verified):
            return None
        user = mobile_proof.user
        if is_staff(user) and (mobile_proof.is_review or not mobile_proof.login.allow_staff):
            return None
        return user if self.user_can_authenticate(user) else None

    def get_user_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return set()

    def get_group_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return set()

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return set()

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return False

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        return False
