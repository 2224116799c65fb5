"""The documented recipes text the right people, once: django-viewflow and SpiffWorkflow in a project of their own."""

import re
import shutil
from pathlib import Path

import pytest

from tests.host_suite import ROOT, outcomes, plugin_arguments, run_pytest

PROJECT = ROOT / "tests" / "engine_project"
RECIPES = {"orders/viewflow_texts.py", "orders/spiff_texts.py"}
TESTS = 6


def recipes():
    """The files that the documentation shows."""
    text = (ROOT / "docs" / "approvals.md").read_text()
    return dict(re.findall(r"```python\n# (orders/\w+\.py)\n(.*?)```", text, re.DOTALL))


def project(folder: Path, **files: str) -> Path:
    copy = Path(shutil.copytree(PROJECT, folder / "project", ignore=shutil.ignore_patterns("__pycache__")))
    for name, source in {**recipes(), **files}.items():
        (copy / name).write_text(source)
    return copy


def test_the_documented_recipes_text_the_right_people_once(tmp_path):
    assert set(recipes()) == RECIPES
    code, output = run_pytest(*plugin_arguments(), cwd=project(tmp_path))
    assert (code, outcomes(output)) == (0, {"passed": TESTS}), output


@pytest.mark.soak
def test_their_tests_fail_where_a_recipe_is_wrong(tmp_path):
    wrong = {
        name: source.replace("task_handled.send_robust(", "print(").replace(
            "event_id=key_of(task)", "event_id=str(id(object()))"
        )
        for name, source in recipes().items()
    }
    code, output = run_pytest(*plugin_arguments(), cwd=project(tmp_path, **wrong))
    assert code == 1
    assert outcomes(output)["failed"] >= 4, output
