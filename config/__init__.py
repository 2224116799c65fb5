"""The reference project: settings, URLs and the Celery app. The apps know nothing of it."""

from .celery import app as celery_app

__all__ = ["celery_app"]
