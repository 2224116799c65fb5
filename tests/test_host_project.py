"""A small project's own test suite passes with `sms_outbox`, used as documented, in a process that knows only that."""

import re

import pytest

from tests.host_suite import HOST, ROOT, copy_of_host, outcomes, plugin_arguments, run_pytest

TESTS = 14

NO_SDKS_AND_NO_NETWORK = """
import importlib.abc, socket, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0].startswith(("boto", "twilio", "alibabacloud", "darabonba", "Tea", "requests")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def refuse(*args, **kwargs):
    raise AssertionError("The network was used.")

sys.meta_path.insert(0, Missing())
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""
TESTS_OF_THAT = """
import socket
import pytest
from sms_services.exceptions import MissingSDK
from sms_services.providers import get_provider
from sms_services.models import AlibabaCloudSms, AwsSnsSms, TwilioSms

def test_the_network_is_closed():
    with pytest.raises(AssertionError):
        socket.create_connection(("127.0.0.1", 9))

@pytest.mark.parametrize("kind", [AlibabaCloudSms, AwsSnsSms, TwilioSms])
def test_no_sdk_is_there(kind):
    with pytest.raises(MissingSDK):
        get_provider(kind(pk=1, **{kind.secret_field: "-"}))
"""

PAGES = """
INSTALLED_APPS += ["django.contrib.sessions"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
ROOT_URLCONF = "pages"
AUTHENTICATION_BACKENDS = ["login_mobile.backends.MobileBackend"]
"""
PAGES_URLS = """
from django.urls import include, path

urlpatterns = [path("login/", include("login_mobile.urls"))]
"""


@pytest.mark.parametrize(
    "arguments",
    [pytest.param((), id="one-process"), pytest.param(("-n", "2"), id="xdist", marks=pytest.mark.soak)],
)
def test_the_host_projects_suite_passes(arguments):
    code, output = run_pytest(*plugin_arguments(), *arguments, cwd=HOST)
    assert (code, outcomes(output)) == (0, {"passed": TESTS}), output


def test_it_fails_when_a_test_of_it_is_wrong():
    code, output = run_pytest(*plugin_arguments(), "-m", "wrong", cwd=HOST)
    assert (code, outcomes(output)) == (1, {"failed": 1}), output


def test_it_needs_neither_the_vendors_sdks_nor_a_network(tmp_path):
    host = copy_of_host(tmp_path, {"tests/test_closed.py": TESTS_OF_THAT})
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "sitecustomize.py").write_text(NO_SDKS_AND_NO_NETWORK)
    code, output = run_pytest(*plugin_arguments(), cwd=host, before=tmp_path / "before")
    assert (code, outcomes(output)) == (0, {"passed": TESTS + 4}), output


def test_the_documented_examples_pass(tmp_path):
    text = (ROOT / "docs" / "testing.md").read_text()
    examples = dict(re.findall(r"```python\n# (tests/\w+\.py)[^\n]*\n(.*?)```", text, re.DOTALL))
    count = sum(len(re.findall(r"^ *def test_", example, re.MULTILINE)) for example in examples.values())
    assert (len(examples), count) == (7, 10)
    tests = [name for name in examples if not name.endswith("conftest.py")]
    (apps,) = re.findall(r"with (.+) in INSTALLED_APPS\n", text)
    more = "INSTALLED_APPS += [" + ", ".join(re.findall(r'"\w+"', apps)) + "]\n"
    settings = {"settings.py": (HOST / "settings.py").read_text() + more + PAGES, "pages.py": PAGES_URLS}
    code, output = run_pytest(*plugin_arguments(), *tests, cwd=copy_of_host(tmp_path, {**examples, **settings}))
    assert (code, outcomes(output)) == (0, {"passed": count}), output
