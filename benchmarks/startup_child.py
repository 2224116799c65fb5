"""`python -m benchmarks.startup_child [--eager]`: start Django in a fresh process; print what that took, as JSON."""

import sys
import time
from importlib import import_module
from pathlib import Path

SDKS = ("alibabacloud_dysmsapi20170525", "boto3", "twilio")
WHAT_PROVIDERS_IMPORT = (
    "alibabacloud_dysmsapi20170525.client",
    "alibabacloud_tea_openapi.utils_models",
    "boto3",
    "botocore.config",
    "twilio.http.http_client",
    "twilio.rest",
)


def start(*, eager: bool) -> None:
    import django

    django.setup()
    if eager:
        for name in WHAT_PROVIDERS_IMPORT:
            import_module(name)


def peak_mib() -> float:
    """Of this program alone: what getrusage says includes the process that forked this one."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024**2 if sys.platform == "darwin" else peak / 1024


if __name__ == "__main__":
    start(eager="--eager" in sys.argv)
    cpu, mib, sdks = time.process_time(), peak_mib(), [name for name in SDKS if name in sys.modules]
    import json

    print(json.dumps({"cpu": cpu, "mib": mib, "sdks": sdks}))
