"""Freezing a process for the requests that are submitted now."""

from django.utils.translation import gettext as _

from .definitions import Definition
from .exceptions import NotAllowed
from .models import Process, ProcessVersion
from .rows import database


def current_version(process: Process) -> ProcessVersion:
    """The version of a process as it is configured now.

    Raises:
        NotAllowed: it has no nodes.
    """
    definition = Definition.of(process)
    while definition != (again := Definition.of(process)):  # somebody was saving it: nodes of before, rules of after
        definition = again
    if not definition.nodes:
        raise NotAllowed(_("The process “%s” has no steps yet.") % process)
    version, _created = ProcessVersion.objects.using(database()).get_or_create(
        process=process, digest=definition.digest, defaults={"definition": definition.to_json()}
    )
    return version
