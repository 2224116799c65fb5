"""Time and memory of starting Django: without our apps, with them, and with all SDKs imported at once."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from statistics import median
from typing import NamedTuple

from .environment import ROOT
from .figures import repetitions

WITHOUT, OURS, EAGER = "third-party apps only", "with our apps", "with our apps and all SDKs imported"
VARIANTS = {
    WITHOUT: ("benchmarks.startup_settings", []),
    OURS: ("config.settings", []),
    EAGER: ("config.settings", ["--eager"]),
}


class Start(NamedTuple):
    """One fresh process, from its start to the end of ``django.setup()`` (``seconds``: to the process's end)."""

    seconds: float
    cpu: float
    mib: float
    sdks: list[str]


Starts = Mapping[str, list[Start]]


def measure(wanted: int, seconds: float) -> Starts:
    """All variants, one after the other, again and again; the first round only warms the caches."""
    starts: dict[str, list[Start]] = {name: [] for name in VARIANTS}
    with tempfile.TemporaryDirectory(prefix="sms-bench-") as folder:
        for name in VARIANTS:
            _start(name, folder)
        for _ in repetitions(wanted, seconds):
            for name in VARIANTS:
                starts[name].append(_start(name, folder))
    return starts


def _start(variant: str, folder: str) -> Start:
    module, options = VARIANTS[variant]
    # Compiled code is kept, as in production, whatever this machine's environment says.
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}
    environment = {**os.environ, **compiled, "DJANGO_SETTINGS_MODULE": module, "DATA_DIR": folder}
    command = [sys.executable, "-m", "benchmarks.startup_child", *options]
    before = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    return Start(time.perf_counter() - before, **json.loads(done.stdout))


def times(starts: Starts, variant: str, field: str) -> float:
    """How many times the value of the third-party apps alone."""
    pairs = zip(starts[variant], starts[WITHOUT], strict=True)
    return median(getattr(mine, field) / getattr(other, field) for mine, other in pairs)
