"""A project whose reads go to a replica, for tests of what must be read where it is written."""

from typing import Any


class ReadsElsewhere:
    """A router that sends reads to a replica that does not answer: whoever reads there, fails.

    Those of the models with these names, or of the whole app.
    """

    def __init__(self, *names: str) -> None:
        self.names = names

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        options = model._meta
        ours = options.app_label == "sms_services" and (not self.names or options.model_name in self.names)
        return "replica" if ours else None
