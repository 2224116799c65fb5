"""Local simulators of the SMS providers, which the vendors' real SDKs talk to in tests and benchmarks.

    with TwilioSimulator() as twilio:
        client = Client(twilio.credentials["account_sid"], twilio.credentials["auth_token"])
        client.api.base_url = twilio.url
        twilio.fail(Fault.RESET_AFTER_ACCEPTING, times=1)
        ...
        assert [message.phone_number for message in twilio.journal] == ["+12065550123"]

They verify signatures, answer in the documented shapes, keep a journal of what the provider took, and fail in
the ways in which providers fail. `python -m tests.simulators twilio` runs one as a process.
"""

from .alibaba_cloud import AlibabaCloudSimulator, Sign, Template
from .aws_sns import AwsSnsSimulator
from .base import Simulator
from .faults import Fault
from .records import Accepted, Request
from .twilio import TwilioSimulator

__all__ = [
    "Accepted",
    "AlibabaCloudSimulator",
    "AwsSnsSimulator",
    "Fault",
    "Request",
    "Sign",
    "Simulator",
    "Template",
    "TwilioSimulator",
]
