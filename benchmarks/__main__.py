"""`python -m benchmarks [--quick]`: measure, and print tables in Markdown. Changes nothing that was there before."""

import argparse
import io
import os
import signal
import sys
import time
from contextlib import redirect_stdout

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"  # which also keeps foreign settings and proxies out

import django


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: an impression, in some minutes")
    quick = parser.parse_args().quick
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the temporary database is dropped
    django.setup()
    print(_run(quick))


def _run(quick: bool) -> str:
    from . import fan_out, messages, startup
    from .environment import cores, environment
    from .report import render

    wanted = 2 if quick else 5
    begin = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - begin:4.0f} s  {what}", file=sys.stderr, flush=True)

    with redirect_stdout(io.StringIO()):  # the processes' logs, which tests.workers prints for pytest
        say("starting up")
        starts = startup.measure(wanted, 5 if quick else 40)
        say("simulators, databases and processes")
        with environment() as env:
            machine = f"{cores()} cores, {' and '.join(env.databases)}"
            say("one at a time")
            single = messages.measure_single(env, wanted, 10 if quick else 60)
            say("queued")
            queued = messages.measure_queued(env, wanted, 30 if quick else 200)
            say("ending")
        say("notifications")
        notified = fan_out.measure(1 if quick else 3, 1 if quick else 60, quick=quick)
        say("done")
    return render(single, queued, notified, starts, machine)


if __name__ == "__main__":
    main()
