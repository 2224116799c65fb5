"""What the pages about the mobile login say: its signals as they are sent, and its examples as they run."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.dispatch import Signal
from django.test import Client

from login_mobile import signals
from login_mobile.models import MobileNumber
from tests.login_under_test import NUMBER

pytest_plugins = ["tests.login_under_test"]

ROOT = Path(__file__).resolve().parent.parent
LOGIN = (ROOT / "docs" / "mobile-login.md").read_text()
PAGES = (ROOT / "docs" / "login-pages.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def arguments_sent() -> dict[str, set[str]]:
    """By signal: what all calls that send it give, but for those that give a dict, which are no other ones."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "login_mobile").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "send_robust":
                given = {keyword.arg for keyword in call.keywords if keyword.arg}
                name = ast.unparse(call.func.value)
                if given:
                    assert found.setdefault(name, given) == given, name
    return found


def test_all_signals_are_named_with_what_they_are_sent_with():
    chapter = LOGIN.partition("### Signals")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", chapter, re.MULTILINE)
    described = {name: {"login", *re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", last))} for name, last in rows}
    assert set(described) == {name for name, value in vars(signals).items() if isinstance(value, Signal)}
    assert described == arguments_sent()


@pytest.fixture
def factory(monkeypatch, settings) -> Any:
    """The documented one."""
    (example,) = [block for block in blocks(LOGIN, "python") if "def make_user" in block]
    module: Any = ModuleType("documented_factory")
    exec(example, vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    settings.LOGIN_MOBILE = {"USER_FACTORY": f"{module.__name__}.make_user"}
    return module


def test_the_documented_factory_makes_users(front_end, login, factory):
    client = front_end()
    assert client.log_in().json()["created"] is True
    user = MobileNumber.objects.get(number=NUMBER).user
    assert user.username.startswith("shop-")
    assert not user.has_usable_password()


def test_the_documented_base_page_fills_the_blocks_of_ours(client, login, settings, tmp_path):
    (example,) = blocks(PAGES, "html")
    (tmp_path / "login_mobile").mkdir()
    (tmp_path / "login_mobile" / "base.html").write_text(example)
    settings.TEMPLATES = [{**django_settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    page = client.get("/login/").content.decode()
    assert 'alt="Our shop"' in page
    assert page.index("login_mobile/login.css") < page.index("shop/login.css")
    css = (ROOT / "login_mobile/static/login_mobile/login.css").read_text()
    (sheet,) = blocks(PAGES, "css")
    assert all(f"{name}:" in css for name in re.findall(r"--login-[\w-]+", sheet))


def test_the_documented_middleware_is_what_a_new_project_lacks_for_chinese(db, login, settings):
    (example,) = blocks(PAGES, "python")
    middleware = [name for name in settings.MIDDLEWARE if "locale" not in name]

    def language() -> str:
        page = Client().get("/login/", headers={"accept-language": "zh-CN"}).content.decode()
        return str(re.search(r'<html lang="([\w-]+)"', page)[1])  # type: ignore[index]

    settings.MIDDLEWARE = list(middleware)
    assert language() == "en"
    exec(example.partition("# urls.py")[0], {"MIDDLEWARE": middleware})
    settings.MIDDLEWARE = middleware
    assert language() == "zh-hans"
