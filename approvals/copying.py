"""Copies of processes, to begin another one from."""

from django.db import transaction
from django.utils.translation import gettext as _

from .models import Process

_LONGEST_KEY = Process._meta.get_field("key").max_length or 50
_LONGEST_TITLE = Process._meta.get_field("title").max_length or 100


@transaction.atomic
def copy_process(process: Process) -> Process:
    """A copy with all nodes and rules, inactive, with a key of its own. The nodes keep their keys within it."""
    nodes = list(process.nodes.prefetch_related("rules").order_by("position", "pk"))
    copy = Process.objects.get(pk=process.pk)
    copy.pk, copy._state.adding = None, True
    copy.key, copy.is_active = _free_key(process.key), False
    copy.title = _title(process.title)
    copy.save()
    for node in nodes:
        rules = list(node.rules.all())
        node.pk, node._state.adding, node.process = None, True, copy
        node.save()
        for rule in rules:
            rule.pk, rule._state.adding, rule.node = None, True, node
            rule.save()
    return copy


def _title(title: str) -> str:
    """Shortened where it has to be, so that it says that it is a copy."""
    words = _("%(title)s (copy)")
    return words % {"title": title[: _LONGEST_TITLE - len(words % {"title": ""})]}


def _free_key(key: str) -> str:
    taken = set(Process.objects.values_list("key", flat=True))
    number = 1
    while True:
        ending = "-copy" if number == 1 else f"-copy-{number}"
        free = key[: _LONGEST_KEY - len(ending)] + ending
        if free not in taken:
            return free
        number += 1
