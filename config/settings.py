"""Settings of the reference project, read from the environment (see the README's table).

Everything has a default that works on one machine after ``migrate`` alone: SQLite, a broker of files, and keys that are
made at the first start, all in ``data/``.
"""

import importlib.util
from pathlib import Path
from typing import Any

import environ
from celery.schedules import crontab
from cryptography.fernet import Fernet
from django.core.management.utils import get_random_secret_key

from .keys import stored_key

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "data")))
DATA_DIR.mkdir(parents=True, exist_ok=True)

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or stored_key(DATA_DIR / "secret_key", get_random_secret_key)
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "config",  # before the others, whose templates it extends
    "sms_services",
    "login_mobile",
    "notifications",
    "approvals",
    "polymorphic",
    "treebeard",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


def _database() -> dict[str, Any]:
    if env.str("DATABASE_URL", default=""):
        database: dict[str, Any] = env.db("DATABASE_URL")
    else:
        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA_DIR / "db.sqlite3"}
    options: dict[str, Any] = {}
    if database["ENGINE"].endswith("sqlite3"):
        # Web, workers and beat write at the same time: wait for each other instead of failing.
        options = {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        }
    if database["ENGINE"].endswith("mysql"):
        options = {"charset": "utf8mb4", "isolation_level": "read committed"}
        database["TEST"] = {"CHARSET": "utf8mb4"}
        _use_pymysql()
    database["OPTIONS"] = {**options, **database.get("OPTIONS", {})}
    return {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True, **database}


def _use_pymysql() -> None:
    """PyMySQL in the place of mysqlclient where that is not installed: it needs no compiler."""
    if importlib.util.find_spec("MySQLdb") is None:
        import pymysql

        pymysql.install_as_MySQLdb()


DATABASES = {"default": _database()}
CACHES = {"default": env.cache("CACHE_URL", default="locmemcache://")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend", "login_mobile.backends.MobileBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)  # WhiteNoise warns where there is none, though it finds the apps' files without
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

# Security. HTTPS switches on what only works behind HTTPS, so that the project also runs on a plain address.
HTTPS = env.bool("HTTPS", default=False)
SECURE_SSL_REDIRECT = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000 if HTTPS else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
X_FRAME_OPTIONS = "DENY"
if env.bool("BEHIND_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

LOGIN_URL = "login_mobile:login"  # for the pages of approvals; it links to the admin's, for those who have a password

# Celery. The default broker is a folder: good for one machine and a demonstration.
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="filesystem://localhost")
if CELERY_BROKER_URL.startswith("filesystem:"):
    CELERY_BROKER_TRANSPORT = "config.broker:Transport"
    _BROKER = DATA_DIR / "broker"
    for _folder in ("queue", "taken", "control"):
        (_BROKER / _folder).mkdir(parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_BROKER / "queue"),
        "data_folder_out": str(_BROKER / "queue"),
        "processed_folder": str(_BROKER / "taken"),
        "control_folder": str(_BROKER / "control"),
        "polling_interval": 0.1,
    }
    CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
elif CELERY_BROKER_URL.startswith("redis"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 5.0, "socket_connect_timeout": 3.0}
elif CELERY_BROKER_URL.startswith("amqp"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {"confirm_publish": True}  # a dead connection takes everything silently
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ALWAYS_EAGER = env.bool("CELERY_TASK_ALWAYS_EAGER", default=False)
CELERY_TASK_DEFAULT_QUEUE = "sms"
# Without this, Celery closes the database connection around every task.
CELERY_DB_REUSE_MAX = 1000
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TIMEZONE = TIME_ZONE
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# The times of the last runs need not outlive beat: the sweep is due every few seconds anyway.
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"
SMS_SWEEP_SECONDS = env.float("SMS_SWEEP_SECONDS", default=10.0)
CELERY_BEAT_SCHEDULE = {
    "sms-sweep": {
        "task": "sms_services.sweep",
        "schedule": SMS_SWEEP_SECONDS,
        # In a queue that is always short, lest it wait behind what it looks after. Where nobody empties the queue, it
        # does not fill up with sweeps.
        "options": {"expires": SMS_SWEEP_SECONDS, "queue": "sms-codes"},
    },
    "notifications-sweep": {
        "task": "notifications.sweep",
        "schedule": SMS_SWEEP_SECONDS,
        "options": {"expires": SMS_SWEEP_SECONDS, "queue": "sms-codes"},
    },
    "approvals-sweep": {
        "task": "approvals.sweep",
        "schedule": SMS_SWEEP_SECONDS,
        "options": {"expires": SMS_SWEEP_SECONDS, "queue": "sms-codes"},
    },
    "notifications-purge": {
        "task": "notifications.purge",
        "schedule": crontab(hour=3, minute=47),
        "options": {"expires": 3600},
    },
    "login-sweep": {
        "task": "login_mobile.sweep",
        "schedule": SMS_SWEEP_SECONDS,
        "options": {"expires": SMS_SWEEP_SECONDS, "queue": "sms-codes"},
    },
    "login-purge": {
        "task": "login_mobile.purge",
        "schedule": crontab(hour=3, minute=37),
        "options": {"expires": 3600},
    },
    "sms-purge": {"task": "sms_services.purge", "schedule": crontab(hour=3, minute=17), "options": {"expires": 3600}},
}

SMS_SERVICES = {
    "ENCRYPTION_KEYS": env.list("SMS_ENCRYPTION_KEYS", default=[])
    or [stored_key(DATA_DIR / "sms_encryption_key", lambda: Fernet.generate_key().decode())],
    "DEFAULT_REGION": env.str("SMS_DEFAULT_REGION", default="US"),
    "OTP_QUEUE": "sms-codes",
    "ENDPOINT_URLS": {
        name: url
        for name, variable in {
            "alibaba_cloud": "SMS_ALIBABA_CLOUD_ENDPOINT_URL",
            "aws_sns": "SMS_AWS_SNS_ENDPOINT_URL",
            "twilio": "SMS_TWILIO_ENDPOINT_URL",
        }.items()
        if (url := env.str(variable, default=""))
    },
    **{
        name: env.float(f"SMS_{name}")
        for name in ("CONNECT_TIMEOUT", "READ_TIMEOUT", "RETRY_DELAY", "SENDING_TIMEOUT", "REQUEUE_AFTER")
        if f"SMS_{name}" in env.ENVIRON
    },
}
if "SMS_RECONCILE_DELAYS" in env.ENVIRON:
    SMS_SERVICES["RECONCILE_DELAYS"] = env.list("SMS_RECONCILE_DELAYS", cast=float)

NOTIFICATIONS = {"LOST_AFTER": env.float("NOTIFICATIONS_LOST_AFTER", default=60.0)}
LOGIN_MOBILE = {"TRUSTED_PROXIES": env.int("LOGIN_TRUSTED_PROXIES", default=0)}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "sms_services": {"level": env.str("SMS_LOG_LEVEL", default="INFO")},
        # Django's own handlers would say all this a second time, and the development server a third time.
        "django": {"level": "WARNING", "handlers": []},
        "django.server": {"level": "CRITICAL", "handlers": [], "propagate": True},
    },
}
