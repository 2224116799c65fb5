"""Running the suite of the host project in `tests/host_project` in a process of its own."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = ROOT / "tests" / "host_project"


def plugin_arguments() -> list[str]:
    """What pytest needs to be told where no installation has registered our plugin.

    schemathesis has one too, which needs `requests`: the host project has nothing to do with it.
    """
    registered = {point.name for point in entry_points(group="pytest11")}
    ours = [] if "sms_services" in registered else ["-p", "sms_services.pytest_plugin"]
    return [*ours, "-p", "no:schemathesis"]


def copy_of_host(folder: Path, files: Mapping[str, str]) -> Path:
    """A copy of the host project with these files, by their paths in it, added or replaced."""
    copy = Path(shutil.copytree(HOST, folder / "host", ignore=shutil.ignore_patterns("__pycache__")))
    for name, text in files.items():
        (copy / name).write_text(text)
    return copy


def run_pytest(*arguments: str, cwd: Path, python_path: Path = ROOT, before: Path | None = None) -> tuple[int, str]:
    """Run a fresh pytest in a folder, with nothing of our environment; returns its exit code and what it said.

    `python_path`: where our packages are found. `before`: a folder whose modules come first.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(str(path) for path in (before, python_path) if path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def outcomes(output: str) -> dict[str, int]:
    """The numbers of pytest's last line: `{"passed": 12}`."""
    return {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", output)}
