"""What the tests with a browser have in common."""

from typing import Any


def fill_name(page: Any, name: str, *, field: str = "name") -> None:
    """Enter a name as a person does: when the page is whole, with the script that makes a key of it."""
    page.locator(f"#id_{field}").wait_for()
    page.wait_for_load_state()
    page.fill(f"#id_{field}", name)
    page.press(f"#id_{field}", "Tab")
