"""Keys that the reference project makes for itself, so that it runs without any configuration.

Each is written once to a file that only its owner can read. A real deployment sets the environment variables
instead: all its hosts need the same keys.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path


def stored_key(path: Path, generate: Callable[[], str]) -> str:
    """The key in a file, made at the first use. Processes that start at once agree on one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    if not path.exists():
        draft.touch(mode=0o600)
        draft.write_text(generate())
        try:
            os.link(draft, path)  # fails if another process was first, and never shows a half-written file
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
