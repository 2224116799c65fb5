"""The threads of this process that talk to providers without batches.

One pool per process, made at the first use, bounded by the setting ``THREADS``. Only SDK calls run in it,
never a query: its threads own no database connections.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..conf import get_settings

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


def map_in_pool(function: Callable[[Item], Answer], items: Sequence[Item]) -> list[Answer]:
    """Call ``function`` with every item, side by side, and return the answers in the items' order.

    A single item is done in the calling thread.
    """
    if len(items) == 1:
        return [function(items[0])]
    return list(_shared_pool().map(function, items))


def start_in_pool(function: Callable[[Item], None], items: Sequence[Item]) -> None:
    """Have the threads call ``function`` with every item, as they become free. It must not raise."""
    pool = _shared_pool()
    for item in items:
        pool.submit(function, item)


def _shared_pool() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(get_settings().THREADS, thread_name_prefix="sms")
        return _pool


def _forget() -> None:
    """A child process has none of its parent's threads, only the object that thinks it has."""
    global _pool, _lock
    _lock = threading.Lock()
    _pool = None


os.register_at_fork(after_in_child=_forget)
