"""The reference project's settings without our apps: the third-party ones are the same."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS

OURS = {"sms_services", "login_mobile", "notifications", "approvals", "config"}
INSTALLED_APPS = [app for app in INSTALLED_APPS if app not in OURS]
