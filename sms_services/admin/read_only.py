"""What nobody edits in admin: the log, and who looked at it."""

from typing import Any

from django.http import HttpRequest


class ReadOnly:
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class GoesWithOthers(ReadOnly):
    """Rows that nobody deletes by themselves, but along with the row of another model that they belong to.

    That is on the pages of admin that delete rows of the other model: by one, or from its list.
    """

    opts: Any
    admin_site: Any

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        match = request.resolver_match
        if match is None or match.namespace != self.admin_site.name:
            return False
        ours = f"{self.opts.app_label}_{self.opts.model_name}_"
        name = str(match.url_name)
        return name.endswith(("_delete", "_changelist")) and not name.startswith(ours)

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        """What the index of admin asks for: not to delete them from there."""
        perms: dict[str, bool] = super().get_model_perms(request)  # type: ignore[misc]
        return {**perms, "delete": False}
