"""The endpoints are what their OpenAPI description says, and answer whatever they are asked, rightly or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import one_of, sampled_from
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from login_mobile.exceptions import STATUSES, ErrorCode
from login_mobile.json.urls import urlpatterns
from tests.login_under_test import GENEROUS, NUMBER, OTHER, FrontEnd, a_login, a_user, codes_sent, error

pytest_plugins = ["tests.login_under_test"]

DESCRIPTION = Path(__file__).resolve().parent.parent / "docs" / "openapi.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(DESCRIPTION.read_text())
EXAMPLES = 30
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def test_every_endpoint_and_every_code_is_described():
    described = {path.strip("/") for path in DOCUMENT["paths"]}
    assert described == {str(pattern.pattern).strip("/") for pattern in urlpatterns}
    codes = DOCUMENT["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]["enum"]
    assert codes == ErrorCode.values


def test_every_refusal_stands_under_its_status():
    named = DOCUMENT["components"]["responses"]
    by_status = {
        403: "Refused", 404: "Unknown", 405: "MethodNotAllowed", 409: "Conflict", 410: "Gone", 422: "Incomplete",
        429: "Throttled", 503: "Unavailable", 401: "NotAuthenticated",
    }  # fmt: skip
    for code, status in STATUSES.items():
        assert f"`{code}`" in named[by_status[status]]["description"], code


@pytest.mark.parametrize("path", sorted(DOCUMENT["paths"]))
def test_another_method_is_refused_as_it_is_described(front_end, login, path):
    (described,) = DOCUMENT["paths"][path]
    assert "405" in DOCUMENT["paths"][path][described]["responses"]
    allowed = DOCUMENT["components"]["responses"]["MethodNotAllowed"]["headers"]["Allow"]["schema"]["enum"]
    client = front_end(enforce_csrf_checks=True).client
    for method in sorted({"get", "post", "put", "patch", "delete"} - {described}):
        answer = getattr(client, method)(f"/login/api{path}")
        assert error(answer) == (405, "method_not_allowed"), method
        assert answer["Allow"] in allowed


@pytest.mark.parametrize("logged_in", [False, True], ids=["nobody", "somebody"])
@pytest.mark.parametrize("path", sorted(DOCUMENT["paths"]))
def test_schemathesis_finds_nothing_that_is_not_described(broker, live_server, path, logged_in):
    """What the description allows and what it does not, asked of a real server."""
    a_login(**GENEROUS)
    tokens = known_tokens(broker)
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    browser = {**session(logged_in), "base_url": f"{live_server.url}/login/api"}
    operation = next(iter(schema[path].values()))
    strategies = [operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode]
    statuses: list[int] = []

    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.generate],  # a failure says what was sent; making it smaller takes minutes
        suppress_health_check=list(HealthCheck),
        deadline=None,
        database=None,
        derandomize=True,  # the same questions in every run
    )
    @given(case=one_of(strategies), token=sampled_from(tokens))
    def ask(case: Any, token: str) -> None:
        if isinstance(case.body, dict) and isinstance(case.body.get("challenge"), str) and len(statuses) % 2:
            case.body["challenge"] = token  # nobody guesses one
        response = case.call(**browser)
        statuses.append(response.status_code)
        case.validate_response(response, checks=CHECKS)

    ask()
    assert len(statuses) >= EXAMPLES
    assert not set(statuses) & {500, 501, 502, 504}
    if operation.method == "post":
        assert set(statuses) & {400, 401, 404}  # not all of them were refused at the door


def session(logged_in: bool) -> dict[str, Any]:
    """The cookies and headers of a browser."""
    cookies = {"csrftoken": "A" * 32}
    if logged_in:
        client = Client()
        client.force_login(a_user(OTHER, password="secret"))
        cookies["sessionid"] = client.cookies["sessionid"].value
    return {"cookies": cookies, "headers": {"X-CSRFToken": "A" * 32}}


def known_tokens(broker: Any) -> list[str]:
    """Challenges that are open, used, and replaced."""
    client = FrontEnd(broker.work)
    tokens = [client.challenge(NUMBER)]
    assert client.verify(tokens[0], codes_sent(NUMBER)[0]).status_code == 200
    return [*tokens, client.challenge("+12065550130"), client.challenge("+8613800000123")]


def test_the_way_that_is_described_is_the_way_that_works(front_end, login):
    """Each step's answer holds what the next one needs, and nothing that is not described."""
    client = front_end()
    config = client.client.get("/login/api/config/").json()
    assert set(config) == set(answer_of("/config/", "get", "200")["properties"])
    asked = client.ask()
    assert set(asked.json()) == set(answer_of("/request/", "post", "202")["properties"])
    assert set(client.post("status", {"challenge": asked.json()["challenge"]}).json()) == set(
        answer_of("/status/", "post", "200")["properties"]
    )
    assert set(client.verify(asked.json()["challenge"], codes_sent(NUMBER)[0]).json()) == {"user_id", "created"}


def test_the_token_of_before_a_login_is_of_no_use_after_it(front_end, login):
    client = front_end(enforce_csrf_checks=True)

    def token() -> dict[str, str]:
        return {"HTTP_X_CSRFTOKEN": client.client.get("/login/api/config/").json()["csrf_token"]}

    before = token()
    challenge = client.post("request", {"phone": NUMBER}, **before).json()["challenge"]
    client.work()
    body = {"challenge": challenge, "code": codes_sent(NUMBER)[0]}
    assert client.post("verify", body, **before).status_code == 200
    assert error(client.post("number/remove", **before)) == (403, "csrf")
    assert client.post("number/remove", **token()).status_code == 204


def answer_of(path: str, method: str, status: str) -> dict[str, Any]:
    """The schema of an answer."""
    response = DOCUMENT["paths"][path][method]["responses"][status]
    if reference := response.get("$ref"):
        response = DOCUMENT["components"]["responses"][reference.rpartition("/")[2]]
    schema: dict[str, Any] = response["content"]["application/json"]["schema"]
    return schema
