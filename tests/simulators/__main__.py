"""`python -m tests.simulators PROVIDER`: one simulator as a process, until it is interrupted or terminated.

Prints its URL. `GET /_simulator/journal` and `POST /_simulator/clear` take the place of the Python API.
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable

from . import AlibabaCloudSimulator, AwsSnsSimulator, Simulator, TwilioSimulator

SIMULATORS: dict[str, Callable[..., Simulator]] = {
    "alibaba_cloud": AlibabaCloudSimulator,
    "aws_sns": AwsSnsSimulator,
    "twilio": TwilioSimulator,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulators", description=__doc__)
    parser.add_argument("provider", choices=SIMULATORS)
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    options = parser.parse_args()

    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # inherited by the server's thread: only sigwait gets them
    with SIMULATORS[options.provider](port=options.port, latency=options.latency, keep_requests=False) as simulator:
        print(simulator.url, flush=True)
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
