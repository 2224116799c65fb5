"""Imported by workers of tests: pages so small that a sending to some hundreds has many."""

from notifications.expansion import ending, expanding, pages

pages.PAGE = 100
expanding.ROUND_SECONDS = 1.0
ending.CHUNK = 500
