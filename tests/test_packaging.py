"""The wheel holds what a host project needs and nothing else, and works in one that follows the README."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests.host_suite import copy_of_host, outcomes, run_pytest

ROOT = Path(__file__).resolve().parent.parent
APPS = {"sms_services", "login_mobile", "notifications", "approvals"}
NOT_COPIED = shutil.ignore_patterns(".*", "data", "build", "dist", "*.egg-info", "__pycache__", "docs")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
NO_CODE = {".html", ".txt", ".css", ".js", ".svg", ".po", ".mo", ".typed"}

#: A host project before it follows the README.
HOST = {
    "settings.py": """
import os
SECRET_KEY = "only for this test"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
ROOT_URLCONF = "urls"
INSTALLED_APPS = [f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes", "messages", "sessions")]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware",
              "django.contrib.auth.middleware.AuthenticationMiddleware",
              "django.contrib.messages.middleware.MessageMiddleware"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {
    "context_processors": ["django.template.context_processors.request",
                           "django.contrib.auth.context_processors.auth",
                           "django.contrib.messages.context_processors.messages"]}}]
STATIC_URL = "static/"
""",
    "urls.py": """
from django.contrib import admin
from django.urls import include, path
urlpatterns = [path("admin/", admin.site.urls)]
""",
}

HOST_PROGRAM = """
import os, sys
sys.path[:0] = [os.getcwd(), "installed"]
from cryptography.fernet import Fernet
os.environ.update(DJANGO_SETTINGS_MODULE="settings", SMS_ENCRYPTION_KEYS=Fernet.generate_key().decode())
import django
django.setup()
import sms_services
assert sms_services.__file__.startswith(os.path.abspath("installed")), sms_services.__file__
from django.core.management import call_command
from yourproject.celery import app
call_command("migrate", verbosity=0)
call_command("check", databases=["default"], fail_level="WARNING")

FIRST_TEXT
from sms_services.models import SandboxMessage, SmsMessage
assert SmsMessage.objects.get().status == "sent"
assert SandboxMessage.objects.get().text.reveal() == "Welcome, Alex!"

from django.contrib.auth.models import User
from django.test import Client
from django.test.utils import override_settings
client = Client()
with override_settings(ALLOWED_HOSTS=["*"]):
    client.force_login(User.objects.create_superuser("admin"))
    page = client.get("/sms/sandbox/").content.decode()
assert "Welcome, Alex!" in page

# The folder in the place of Redis.
from pathlib import Path
from celery import Celery
folder = {"BASE_DIR": Path.cwd()}
exec(Path("folder.py").read_text(), folder)
files = Celery("files", set_as_current=False)
settings = {name: value for name, value in folder.items() if name.startswith("CELERY_")}
files.config_from_object(settings, namespace="CELERY")
files.send_task("sms_services.sweep", queue="sms")
(task,) = Path("broker/queue").iterdir()
assert task.name.endswith(".sms.msg")
print("sent")
"""

#: What a project does that has followed the quick start of approvals.
APPROVALS_PROGRAM = """
import django
django.setup()
from django.conf import settings
settings.CELERY_TASK_ALWAYS_EAGER = True
from celery import Celery
Celery("host").config_from_object("django.conf:settings", namespace="CELERY")
from django.contrib.auth.models import Group, User
from notifications.models import Department
from processes import make_travel
from sms_services.models import SandboxSms, SmsTemplate
from travel import agree, ask
service = SandboxSms.objects.create(key="approvals", name="Approvals")
words = "${userNick}: ${processTitle}"
approval, copy = (
    SmsTemplate.objects.create(key=purpose, name=purpose, text=words, purpose=purpose) for purpose in ("approval", "cc")
)
ann, bob, cid = (User.objects.create(username=name) for name in ("ann", "bob", "cid"))
board, office = Group.objects.create(name="Board"), Department.objects.add_root({"name": "Office"})
cid.groups.add(board)
office.members.add(ann)
make_travel(manager=bob, board=board, office=office, service=service, approval=approval, copy=copy)
request = ask(ann, office)
for person in (bob, cid):
    agree(person, request)
request.refresh_from_db()
print(request.status)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # From a copy: what an earlier build left in the project's folder would get into the wheel.
    copy = tmp_path_factory.mktemp("source") / "project"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", cwd=copy)
    (built,) = (copy / "dist").glob("*.whl")
    return built


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_the_four_apps_with_all_their_files(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in names} == APPS
    expected = {
        str(path.relative_to(ROOT))
        for app in APPS
        for path in (ROOT / app).rglob("*")
        if path.is_file() and (path.suffix == ".py" or path.suffix in NO_CODE)
    }
    assert expected - names == set()
    assert {f"{app}/py.typed" for app in APPS} <= names


def test_the_wheel_says_what_it_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (metadata_name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = archive.read(metadata_name).decode()
        assert any(name.endswith("LICENSE") for name in archive.namelist())
    required = re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", metadata, re.MULTILINE)
    assert set(required) == {
        "Babel",
        "celery",
        "cryptography",
        "Django",
        "django-polymorphic",
        "django-treebeard",
        "phonenumbers",
    }
    extras = set(re.findall(r"^Provides-Extra: (.*)$", metadata, re.MULTILINE))
    assert extras == {"alibaba-cloud", "aws-sns", "twilio", "all"}


def test_the_wheel_registers_its_pytest_plugin(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt")]
        assert archive.read(name).decode().split() == ["[pytest11]", "sms_services", "=", "sms_services.pytest_plugin"]


def test_a_host_projects_suite_passes_with_the_installed_wheel(wheel, tmp_path):
    installed = tmp_path / "installed"
    run(*PIP, "install", "--quiet", "--no-deps", "--target", str(installed), str(wheel), cwd=tmp_path)
    where = f"import sms_services\n\ndef test_it():\n    assert sms_services.__file__.startswith({str(installed)!r})\n"
    host = copy_of_host(tmp_path, {"tests/test_where.py": where})
    code, output = run_pytest(cwd=host, python_path=installed)
    assert (code, outcomes(output)) == (0, {"passed": 15}), output


def test_a_host_project_that_follows_the_readme_can_send(wheel, tmp_path):
    chapter = (ROOT / "README.md").read_text().partition("## Install into your project")[2].partition("\n## ")[0]
    settings, celery, urls, first_text, folder = re.findall(r"```python\n(.*?)```", chapter, re.DOTALL)
    for name, addition in {"settings.py": settings, "urls.py": urls}.items():
        (tmp_path / name).write_text(f"{HOST[name]}\n{addition}")
    app, package = celery.split("# yourproject/__init__.py")
    (tmp_path / "yourproject").mkdir()
    for name, text in {"celery.py": app, "__init__.py": package}.items():
        (tmp_path / "yourproject" / name).write_text(text)
    shutil.copy(ROOT / "config" / "broker.py", tmp_path / "yourproject")
    (tmp_path / "folder.py").write_text(folder)
    run(*PIP, "install", "--quiet", "--no-deps", "--target", "installed", str(wheel), cwd=tmp_path)
    program = HOST_PROGRAM.replace("FIRST_TEXT", first_text)
    assert run(sys.executable, "-I", "-c", program, cwd=tmp_path).strip().endswith("sent")


def test_the_quick_starts_can_be_followed_one_after_the_other(tmp_path):
    pages = {
        "README.md": "## Install into your project",
        "docs/notifications.md": "## Quick start",
        "docs/approvals.md": "## Quick start",
        "docs/mobile-login.md": "## Set it up",
    }
    for name, text in HOST.items():
        (tmp_path / name).write_text(text)
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    environment["SMS_ENCRYPTION_KEYS"] = Fernet.generate_key().decode()
    for page, title in pages.items():
        chapter = (ROOT / page).read_text().partition(title)[2].partition("\n## ")[0]
        for block in re.findall(r"```python\n(.*?)```", chapter, re.DOTALL):
            for name, addition in re.findall(r"^# (\w+\.py)(.*?)(?=^# \w+\.py|\Z)", block, re.DOTALL | re.MULTILINE):
                with (tmp_path / name).open("a") as file:
                    # login_mobile is there already, as the page says it may be.
                    file.write("\n#" + addition.replace('INSTALLED_APPS += ["login_mobile"]', ""))
        command = [sys.executable, "-m", "django", "migrate", "--verbosity", "0"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (page, done.stderr)
    done = subprocess.run(
        [sys.executable, "-c", APPROVALS_PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "approved\n"), done.stderr
