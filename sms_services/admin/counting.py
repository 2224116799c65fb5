"""Lists of which nobody counts all rows."""

from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest


class FoundRows(ChangeList):
    """Says beside the search how many rows were found; nothing while there is neither a search nor a filter."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count


class CountsWhatIsFound:
    """For a model's admin whose list may be long and has a search."""

    show_full_result_count = False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return FoundRows
