"""The reference project's settings in an environment of the tests' own: only DATABASE_URL comes from outside."""

import atexit
import os
import shutil
import sys
import tempfile

_OURS = {
    "ALLOWED_HOSTS",
    "BEHIND_PROXY",
    "CACHE_URL",
    "CELERY_BROKER_URL",
    "CELERY_TASK_ALWAYS_EAGER",
    "CSRF_TRUSTED_ORIGINS",
    "DEBUG",
    "HTTPS",
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "SECURE_HSTS_SECONDS",
    "TIME_ZONE",
}
_PROXIES = {"http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "no_proxy"}
_FOREIGN = ("SMS_", "NOTIFICATIONS_", "AWS_", "TWILIO_", "ALIBABA_CLOUD_", "ALICLOUD_")

for _name in list(os.environ):
    if _name in _OURS or _name.lower() in _PROXIES or _name.startswith(_FOREIGN):
        del os.environ[_name]

# Processes that tests start get the same folder, unless they are given one of their own.
if "TESTS_DATA_DIR" not in os.environ:
    os.environ["TESTS_DATA_DIR"] = tempfile.mkdtemp(prefix="sms-tests-")
    atexit.register(shutil.rmtree, os.environ["TESTS_DATA_DIR"], ignore_errors=True)
os.environ["DATA_DIR"] = os.environ["TESTS_DATA_DIR"]

from config.settings import *  # noqa: E402, F403
from config.settings import DATA_DIR, DATABASES  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
WHITENOISE_AUTOREFRESH = True  # looks files up when asked: every test's client would look for all of them

# No test cuts the power: nothing waits for the disk.
_options = DATABASES["default"]["OPTIONS"]
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # In a file: SQLite in memory knows neither WAL nor waiting, and tests with threads need both.
    DATABASES["default"]["TEST"] = {"NAME": DATA_DIR / "test.sqlite3"}
    _options["init_command"] += "; PRAGMA synchronous=OFF"
elif DATABASES["default"]["ENGINE"].endswith(".postgresql"):
    DATABASES["default"]["ENGINE"] = "tests.postgresql"
    _options["options"] = "-c synchronous_commit=off"
elif "pymysql" in sys.modules:
    _options["ssl_disabled"] = True  # PyMySQL would read all certificates of the system for every connection
