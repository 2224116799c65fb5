"""Which messages Alibaba Cloud takes in one request."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from ..phone_numbers import is_mainland_china
from .base import OutgoingMessage

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)

#: The vendor takes 1,000. Half of it keeps the URL, which carries the numbers, within 8 KB, and halves what a
#: killed worker leaves in doubt.
SEND_SMS_SIZE = 500
#: The vendor's limit (SendBatchSms).
SEND_BATCH_SMS_SIZE = 100


def request_groups(messages: Sequence[OutgoingMessage], limit: int | None = None) -> Iterator[list[int]]:
    """Cut into groups of one template and region, either with equal variables (up to 500) or not (up to 100).

    Variables that 100 messages or more have in common are sent in groups of their own, the others together:
    never more requests than either way alone. A number's second message comes in a later group.
    """
    many = min(SEND_SMS_SIZE, limit or SEND_SMS_SIZE)
    few = min(SEND_BATCH_SMS_SIZE, limit or SEND_BATCH_SMS_SIZE)
    for indexes in _grouped(range(len(messages)), lambda index: template_and_region(messages[index])):
        shared = _grouped(indexes, lambda index: tuple(sorted(messages[index].params.items())))
        if len(shared) == 1:
            large, others = shared, []
        else:
            large = [group for group in shared if len(group) >= few]
            others = sorted(index for group in shared if len(group) < few for index in group)
        for group in large:
            yield from _cut(group, messages, many)
        yield from _cut(others, messages, few)


def template_and_region(message: OutgoingMessage) -> tuple[str, bool]:
    """What all messages of a request share: templates are for the mainland or for elsewhere, never both."""
    return message.template_code, is_mainland_china(message.phone_number)


def have_equal_params(messages: Sequence[OutgoingMessage]) -> bool:
    return all(message.params == messages[0].params for message in messages)


def _grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> list[list[Item]]:
    """Items with the same key together, in the order in which keys and items come."""
    groups: defaultdict[Key, list[Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return list(groups.values())


def _cut(indexes: Sequence[int], messages: Sequence[OutgoingMessage], size: int) -> Iterator[list[int]]:
    """Groups of at most ``size``: first every number's first message, then the second ones, and so on."""
    rounds: list[list[int]] = []
    times: defaultdict[str, int] = defaultdict(int)
    for index in indexes:
        number = messages[index].phone_number
        if times[number] == len(rounds):
            rounds.append([])
        rounds[times[number]].append(index)
        times[number] += 1
    for distinct in rounds:
        for start in range(0, len(distinct), size):
            yield distinct[start : start + size]
