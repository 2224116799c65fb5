"""The reference project's settings for the processes of `tests.workers`.

`TEST_PREFIX` begins the names of their queues, `TEST_IMPORTS` names modules that workers import. Their logs say more.
"""

from config.settings import *  # noqa: F403
from config.settings import CELERY_BEAT_SCHEDULE, CELERY_TASK_DEFAULT_QUEUE, LOGGING, SMS_SERVICES, env

_PREFIX = env.str("TEST_PREFIX", default="")

CELERY_TASK_DEFAULT_QUEUE = f"{_PREFIX}{CELERY_TASK_DEFAULT_QUEUE}"
CELERY_IMPORTS = env.list("TEST_IMPORTS", default=[])
SMS_SERVICES = {**SMS_SERVICES, "OTP_QUEUE": f"{_PREFIX}{SMS_SERVICES['OTP_QUEUE']}"}
_SWEEPS = {name: entry for name, entry in CELERY_BEAT_SCHEDULE.items() if name.endswith("-sweep")}
CELERY_BEAT_SCHEDULE = {
    **CELERY_BEAT_SCHEDULE,
    **{
        name: {**entry, "options": {**entry["options"], "queue": SMS_SERVICES["OTP_QUEUE"]}}
        for name, entry in _SWEEPS.items()
    },
}
LOGGING = {
    **LOGGING,
    "loggers": {**LOGGING["loggers"], "celery": {"level": "INFO"}, "celery.beat": {"level": "WARNING"}},
}
