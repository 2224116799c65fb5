"""A server that sends a strict Content-Security-Policy, and browsers that notice what it blocks.

A test module that uses these fixtures says `pytest_plugins = ["tests.login_under_test", "tests.login_browsers"]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from pytest_django.live_server_helper import LiveServer

#: No inline script or style, nothing from elsewhere, no frames.
STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


class StrictPolicy:
    """Middleware: the policy on every page."""

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        response = self.get_response(request)
        response["Content-Security-Policy"] = STRICT
        return response


@pytest.fixture
def strict_server(settings, transactional_db) -> Iterator[str]:
    """The address of a server whose pages have the strict policy."""
    settings.MIDDLEWARE = ["tests.login_browsers.StrictPolicy", *settings.MIDDLEWARE]
    server = LiveServer("127.0.0.1")
    yield server.url
    server.stop()


@pytest.fixture
def open_page(browser) -> Iterator[Callable[..., Any]]:
    """`open_page(window=PHONE, language="zh-CN", scripts=False)`: a page of a fresh profile.

    The test fails if a script on it does, or if the policy has blocked something.
    """
    complaints: list[str] = []
    with ExitStack() as stack:

        def make(*, window: Any = WIDE, language: str = "en-US", scripts: bool = True, **options: Any) -> Any:
            context = stack.enter_context(
                browser.new_context(viewport=window, locale=language, java_script_enabled=scripts, **options)
            )
            page = context.new_page()
            page.set_default_timeout(10_000)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda said: complaints.append(said.text) if _is_complaint(said) else None)
            return page

        yield make
    assert not complaints


def _is_complaint(said: Any) -> bool:
    # Chromium also reports every status from 400 on; these are what refusals are meant to have.
    return said.type == "error" and "the server responded with a status of 4" not in said.text


def examine(page: Any) -> None:
    """The page fits its window, a thumb hits what can be hit, and axe finds nothing wrong, light or dark."""
    name = page.title()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
    small = page.evaluate(
        """Array.from(document.querySelectorAll("a, button, select, input:not([type=hidden])"))
            .map((element) => [element, element.getBoundingClientRect()])
            .filter(([, box]) => box.width && (box.height < 44 || box.width < 44))
            .map(([element]) => element.outerHTML)"""
    )
    assert not small, small
    if page.evaluate("matchMedia('(scripting: enabled)').matches"):
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            found = Axe().run(page, options={"resultTypes": ["violations"]})
            assert found.violations_count == 0, f"{name}, {theme}\n{found.generate_report()}"
