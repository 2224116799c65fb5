"""The vendors' bare SDKs, as a plain script uses them: one kept client, no timeouts set, nothing recorded.

Only the size of the connection pool is set, to the number of threads, so that 32 threads are not slowed by a pool
of ten. Everything is imported where it is used: the processes that measure us import nothing from here.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import urlsplit

THREADS = 32
CODE = "SMS_100001"
#: What one request of Alibaba Cloud carries in our batches: equal variables, and different ones.
EQUAL_SIZE, DIFFERENT_SIZE = 500, 100

Credentials = Mapping[str, str]
SendOne = Callable[[str, str], object]


def text_for(name: str) -> str:
    """What our template renders."""
    return f"Hello {name}, your appointment is tomorrow at ten."


def sender(provider: str, credentials: Credentials, url: str) -> SendOne:
    """A function that sends one text: it takes a number and a name. The client is kept for the whole run."""
    return _sender(provider, tuple(sorted(credentials.items())), url)


@cache
def _sender(provider: str, credentials: tuple[tuple[str, str], ...], url: str) -> SendOne:
    make = {"twilio": _twilio, "aws_sns": _aws_sns, "alibaba_cloud": _alibaba_cloud}[provider]
    return make(dict(credentials), url)


def _twilio(credentials: Credentials, url: str) -> SendOne:
    from requests.adapters import HTTPAdapter
    from twilio.http.http_client import TwilioHttpClient
    from twilio.rest import Client

    http_client = TwilioHttpClient()
    http_client.session.mount("http://", HTTPAdapter(pool_maxsize=THREADS))
    client = Client(credentials["account_sid"], credentials["auth_token"], http_client=http_client)
    client.api.base_url = url
    return lambda number, name: client.messages.create(to=number, from_=credentials["from_number"], body=text_for(name))


def _aws_sns(credentials: Credentials, url: str) -> SendOne:
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "sns",
        region_name=credentials["region"],
        aws_access_key_id=credentials["access_key"],
        aws_secret_access_key=credentials["secret_key"],
        endpoint_url=url,
        config=Config(max_pool_connections=THREADS),
    )
    kind = {"AWS.SNS.SMS.SMSType": {"DataType": "String", "StringValue": "Transactional"}}
    return lambda number, name: client.publish(PhoneNumber=number, Message=text_for(name), MessageAttributes=kind)


def _alibaba_cloud(credentials: Credentials, url: str) -> SendOne:
    from alibabacloud_dysmsapi20170525 import models

    client = _alibaba_cloud_client(credentials, url)

    def send(number: str, name: str) -> None:
        _expect_ok(
            client.send_sms(
                models.SendSmsRequest(
                    phone_numbers=number,
                    sign_name=credentials["verify_sign"],
                    template_code=CODE,
                    template_param=json.dumps({"name": name}),
                )
            )
        )

    return send


def send_batches(credentials: Credentials, url: str, people: Sequence[tuple[str, str]], *, different: bool) -> None:
    """Alibaba Cloud's bare SDK, one request after the other, cut as our batches are."""
    from alibabacloud_dysmsapi20170525 import models

    client = _alibaba_cloud_client(credentials, url)
    sign, size = credentials["verify_sign"], DIFFERENT_SIZE if different else EQUAL_SIZE
    for start in range(0, len(people), size):
        part = people[start : start + size]
        numbers = [number for number, _ in part]
        if different:
            request = models.SendBatchSmsRequest(
                phone_number_json=json.dumps(numbers),
                sign_name_json=json.dumps([sign] * len(part)),
                template_code=CODE,
                template_param_json=json.dumps([{"name": name} for _, name in part]),
            )
            _expect_ok(client.send_batch_sms(request))
        else:
            request = models.SendSmsRequest(
                phone_numbers=",".join(numbers),
                sign_name=sign,
                template_code=CODE,
                template_param=json.dumps({"name": part[0][1]}),
            )
            _expect_ok(client.send_sms(request))


def _alibaba_cloud_client(credentials: Credentials, url: str) -> Any:
    return _kept_alibaba_cloud_client(credentials["access_key"], credentials["access_secret"], url)


@cache
def _kept_alibaba_cloud_client(access_key: str, access_secret: str, url: str) -> Any:
    from alibabacloud_dysmsapi20170525.client import Client
    from alibabacloud_tea_openapi.utils_models import Config

    parts = urlsplit(url)
    return Client(
        Config(
            access_key_id=access_key,
            access_key_secret=access_secret,
            endpoint=parts.netloc,
            protocol=parts.scheme,
            max_idle_conns=THREADS,
        )
    )


def _expect_ok(response: Any) -> None:
    if response.body.code != "OK":
        raise RuntimeError(f"The simulator refused: {response.body.code}")
