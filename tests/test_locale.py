"""The Chinese translation: complete, with the placeholders of the original, compiled, and shown in admin."""

import ast
import gettext
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.urls import reverse

from sms_services.models import AlibabaCloudSms, AwsSnsSms, SandboxSms, TwilioSms

from .services import REQUIRED

ROOT = Path(__file__).resolve().parent.parent
APPS = ("sms_services", "login_mobile", "notifications", "approvals", "config")
CATALOG = Path("locale/zh_Hans/LC_MESSAGES/django.po")
TOOLS = ("xgettext", "msguniq", "msgmerge", "msgattrib", "msgfmt")
HOW_TO = (
    "In the app's folder: ../manage.py makemessages -l zh_Hans --no-location --no-wrap; translate; compilemessages."
)
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[a-z]|\$\{\w+\}|</?\w[^>]*>")
TRANSLATING = {"_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy", "pgettext", "pgettext_lazy"}

COMMON_LABELS = {
    "name": "名称",
    "key": "标识",
    "is_active": "启用",
    "max_per_second": "每秒发送条数",
    "price_per_segment": "每条计费单价",
    "currency": "币种",
}
LABELS = {
    AlibabaCloudSms: {
        "access_key": "访问密钥（AccessKey ID）",
        "access_secret": "AccessKey Secret",
        "verify_sign": "签名",
    },
    AwsSnsSms: {"access_key": "访问密钥（AccessKey ID）", "secret_key": "秘密访问密钥", "region": "区域"},
    TwilioSms: {"account_sid": "账户 SID", "auth_token": "Auth Token", "from_number": "发件人号码"},
    SandboxSms: {},
}


@pytest.fixture(params=APPS)
def app(request) -> Path:
    """The folder of each app in turn."""
    return ROOT / request.param


@pytest.fixture
def gettext_tools() -> None:
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        reason = f"GNU gettext is not installed (missing: {', '.join(missing)})."
        if REQUIRED:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def messages(compiled: Path) -> dict[str, set[str]]:
    """The translations of a compiled catalog by message id; several where it has plural forms."""
    with compiled.open("rb") as file:
        catalog = gettext.GNUTranslations(file)._catalog
    found: dict[str, set[str]] = {}
    for msgid, msgstr in catalog.items():
        found.setdefault(msgid[0] if isinstance(msgid, tuple) else msgid, set()).add(msgstr)
    found.pop("", None)  # the header
    return found


def compiled(catalog: Path, target: Path) -> dict[str, set[str]]:
    """What a catalog translates: nothing fuzzy, nothing empty."""
    subprocess.run(["msgfmt", "--check-format", "-o", target, catalog], check=True)
    return messages(target)


def in_f_strings(app: Path) -> Iterator[tuple[str, str]]:
    """Messages in the sources that xgettext does not see, with their place."""
    for path in sorted(app.rglob("*.py")):
        for outer in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(outer, ast.JoinedStr):
                continue
            for call in ast.walk(outer):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in TRANSLATING:
                    message = ast.literal_eval(call.args[0])
                    yield message, f"{path.relative_to(app)}:{call.lineno}"


@pytest.mark.usefixtures("gettext_tools")
def test_every_string_of_the_sources_is_translated(app, tmp_path, monkeypatch):
    copy = tmp_path / app.name
    shutil.copytree(app, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(copy)
    call_command("makemessages", locale=["zh_Hans"], no_location=True, no_wrap=True, verbosity=0)

    for condition in ("--untranslated", "--only-fuzzy"):
        command = ("msgattrib", condition, "--no-obsolete", "--no-wrap", CATALOG)
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert not found, HOW_TO


@pytest.mark.usefixtures("gettext_tools")
def test_strings_that_makemessages_overlooks_are_translated(app, tmp_path):
    translated = compiled(app / CATALOG, tmp_path / "translated.mo")
    overlooked = [f"{place}: {message}" for message, place in in_f_strings(app) if message not in translated]
    assert not overlooked, "makemessages does not look into f-strings; take these out of theirs."


@pytest.mark.usefixtures("gettext_tools")
def test_the_compiled_catalog_is_as_fresh_as_its_source(app, tmp_path):
    assert messages((app / CATALOG).with_suffix(".mo")) == compiled(app / CATALOG, tmp_path / "fresh.mo"), HOW_TO


def test_placeholders_and_markup_are_those_of_the_original(app):
    # Chinese has one form, for one and for many; the original names the count in the plural at least.
    plurals = dict(re.findall(r'^msgid "(.*)"\nmsgid_plural "(.*)"$', (app / CATALOG).read_text("utf-8"), re.M))
    for msgid, translations in messages((app / CATALOG).with_suffix(".mo")).items():
        original = plurals.get(msgid, msgid)
        for msgstr in translations:
            assert sorted(PLACEHOLDER.findall(msgstr)) == sorted(PLACEHOLDER.findall(original)), msgid


def test_the_header_names_the_language_and_no_person(app):
    header = (app / CATALOG).read_text(encoding="utf-8").split("\n\n", 1)[0]
    for line in ("Project-Id-Version: django-sms-services", "Language: zh_Hans", "Plural-Forms: nplurals=1; plural=0;"):
        assert rf'"{line}\n"' in header
    assert "@" not in header
    assert "fuzzy" not in header


@pytest.mark.django_db
@pytest.mark.parametrize("kind", LABELS, ids=lambda kind: kind.__name__)
def test_the_add_page_is_chinese_for_a_chinese_browser(admin_client, kind):
    content_type = ContentType.objects.get_for_model(kind, for_concrete_model=False)
    url = f"{reverse('admin:sms_services_smsservice_add')}?ct_id={content_type.pk}"
    response = admin_client.get(url, HTTP_ACCEPT_LANGUAGE="zh-hans")

    form = response.context["adminform"].form
    labels = {name: str(field.label) for name, field in form.fields.items()}
    assert labels == {**COMMON_LABELS, **LABELS[kind]}
    page = response.content.decode()
    for label in labels.values():
        assert re.search(rf">\s*{re.escape(label)}[:：]?\s*</label>", page), label
    for english in ("Limits", "messages per second", "Empty: unlimited", "console"):
        assert english not in page
