"""The embedded broker: kombu's folder of files, made safe for processes that write and read at the same time.

kombu 5.7 creates a file under its final name and fills it afterwards; a worker that finds it empty in between stops
for good. And it moves what it reads to the system's temporary folder, which is no atomic step between two disks.
"""

import os
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps, loads


class Channel(filesystem.Channel):
    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:  # type: ignore[override]
        final = Path(self.data_folder_out, f"{time.time_ns():020}_{uuid.uuid4().hex}.{queue}.msg")
        draft = final.with_suffix(".draft")
        draft.write_text(dumps(payload))
        draft.rename(final)

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        """The oldest message. Whoever renames its file has it."""
        for name in sorted(os.listdir(self.data_folder_in)):
            if name.partition(".")[2] != f"{queue}.msg":
                continue
            taken = Path(self.processed_folder, name)
            try:
                Path(self.data_folder_in, name).rename(taken)
            except FileNotFoundError:
                continue
            payload = taken.read_text()
            taken.unlink()
            return loads(payload)
        raise Empty


class Transport(filesystem.Transport):
    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:  # type: ignore[override]
        """A worker looks for the signal to stop between two calls: let it look often, so that Ctrl-C is quick."""
        super().drain_events(connection, timeout=min(timeout or 0.5, 0.5))
