"""System checks and settings of the mobile login, and what a configuration refuses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import AbstractBaseUser, User
from django.core.checks import ERROR, run_checks
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import DataError, IntegrityError, models, transaction
from django.test.utils import isolate_apps
from django.utils import timezone

from login_mobile.checks import TAG
from login_mobile.conf import Settings, get_settings
from login_mobile.models import Challenge, MobileLogin
from login_mobile.models.logins import BOUNDS
from login_mobile.purging import purge
from login_mobile.users import not_filled
from sms_services.models import AlibabaCloudSms, SmsTemplate, TemplateCode
from tests.login_under_test import a_login, front_end  # noqa: F401 - a fixture

pytest_plugins = ["tests.login_under_test"]


#: A project that mounts nothing of ours.
urlpatterns: list[Any] = []


def found(*databases: str) -> dict[str, Any]:
    """What our checks say now, by id."""
    return {message.id: message for message in run_checks(tags=[TAG], databases=list(databases))}


def errors_of(login: MobileLogin) -> dict[str, list[str]]:
    try:
        login.full_clean()
    except ValidationError as error:
        return error.message_dict
    return {}


class TestChecks:
    def test_the_reference_project_passes(self, broker, db):
        a_login()
        assert found("default") == {}

    def test_e001_an_unknown_setting(self, settings):
        settings.LOGIN_MOBILE = {"USER_FACTORI": "x.y"}
        message = found()["login_mobile.E001"]
        assert message.level == ERROR
        assert "USER_FACTORI" in message.msg
        assert "USER_FACTORY" in message.msg

    @pytest.mark.parametrize(
        "change",
        [
            {"TRUSTED_PROXIES": -1}, {"TRUSTED_PROXIES": "1"}, {"TRUSTED_PROXIES": True}, {"TRUSTED_PROXIES": 1.0},
            {"REAUTHENTICATE_AFTER": 0}, {"RETENTION_DAYS": 1}, {"USER_FACTORY": ""}, {"USER_FACTORY": None},
            {"TOKEN_ISSUER": 5}, {"DEVICE_DAYS": -1}, {"REQUEUE_AFTER": None},
        ],
        ids=repr,
    )  # fmt: skip
    def test_e001_an_impossible_value(self, settings, change):
        settings.LOGIN_MOBILE = change
        assert next(iter(change)) in found()["login_mobile.E001"].msg
        with pytest.raises(ImproperlyConfigured):
            get_settings()

    @pytest.mark.parametrize("value", [None, [], "TRUSTED_PROXIES=1"])
    def test_e001_no_dict(self, settings, value):
        settings.LOGIN_MOBILE = value
        assert "must be a dict" in found()["login_mobile.E001"].msg

    def test_no_settings_at_all_are_fine(self, settings):
        del settings.LOGIN_MOBILE
        assert get_settings() == Settings()

    @pytest.mark.parametrize("name", ["USER_FACTORY", "SECOND_PROOF", "TOKEN_ISSUER"])
    def test_e002_a_function_that_is_not_there(self, settings, name):
        settings.LOGIN_MOBILE = {name: "nowhere.to.be_found"}
        assert name in found()["login_mobile.E002"].msg

    def test_e003_the_backend_is_missing(self, settings):
        settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
        assert "login_mobile.backends.MobileBackend" in found()["login_mobile.E003"].hint

    def test_who_only_keeps_numbers_here_needs_neither_backend_nor_tasks(self, settings, broker, db):
        settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
        settings.ROOT_URLCONF = __name__
        broker.app.conf.beat_schedule = {}
        needed = {"login_mobile.E003", "login_mobile.W001"}
        assert not needed & set(found("default"))
        a_login()  # with pages of their own
        assert needed <= set(found("default"))

    def test_e003_a_subclass_will_do(self, settings):
        settings.AUTHENTICATION_BACKENDS = ["tests.test_login_accounts.OnlyAda"]
        assert "login_mobile.E003" not in found()

    def test_e004_two_databases(self, settings):
        settings.DATABASE_ROUTERS = [f"{__name__}.Apart"]
        assert "different databases" in found()["login_mobile.E004"].msg

    def test_w001_the_sweep_is_not_scheduled(self, broker):
        broker.app.conf.beat_schedule = {}
        assert "login_mobile.W001" in found()

    def test_w002_an_enabled_login_whose_service_is_inactive(self, broker, db):
        login = a_login()
        login.sms_service.is_active = False
        login.sms_service.save()
        message = found("default")["login_mobile.W002"]
        assert "Main" in message.msg
        assert "deactivated" in message.msg
        login.is_active = False
        login.save()
        assert "login_mobile.W002" not in found("default")

    def test_w002_a_template_that_does_not_fit_any_more(self, broker, db):
        login = a_login()
        SmsTemplate.objects.filter(pk=login.template_id).update(text="")
        assert "login_mobile.W002" in found("default")

    def test_w003_no_service_can_send_a_notice(self, broker, db):
        login = a_login(TestConfigurations().alibaba_cloud())
        TemplateCode.objects.create(template=login.template, service=login.sms_service, code="SMS_100001")
        assert "taken over" in found("default")["login_mobile.W003"].msg
        notice = SmsTemplate.objects.create(key="notice", name="Notice", text="It was changed.")
        MobileLogin.objects.update(notice_template=notice)
        assert "login_mobile.W003" in found("default")
        TemplateCode.objects.create(template=notice, service=login.sms_service, code="SMS_100002")
        assert "login_mobile.W003" not in found("default")

    def test_w003_another_configuration_may_send_it(self, broker, db):
        login = a_login(TestConfigurations().alibaba_cloud(), is_default=False)
        TemplateCode.objects.create(template=login.template, service=login.sms_service, code="SMS_100001")
        sandbox = a_login(key="other").sms_service
        assert "login_mobile.W003" not in found("default")
        sandbox.is_active = False
        sandbox.save()
        assert "login_mobile.W003" in found("default")

    def test_w006_no_active_login_is_the_default(self, broker, db):
        assert "login_mobile.W006" not in found("default")
        login = a_login(is_active=False)
        assert "login_mobile.W006" not in found("default")
        other = a_login(key="other", is_default=False)
        assert "Tick “Default”" in found("default")["login_mobile.W006"].hint
        login.delete()
        assert "login_mobile.W006" in found("default")
        other.is_default = True
        other.save()
        assert "login_mobile.W006" not in found("default")


class TestPolicies:
    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"allow_staff": True}, "allow_staff"),
            ({"recycled_policy": "new_account"}, "recycled_policy"),
            ({"recycled_after_days": 3650}, "recycled_after_days"),
            ({"allow_staff": True, "recycled_after_days": 30}, "allow_staff, recycled_after_days"),
        ],
    )
    def test_w005_a_client_may_choose_the_laxer_one(self, broker, db, change, says):
        a_login()
        lax = a_login(key="lax", is_default=False, **change)
        assert f"differ in {says}, and" in found("default")["login_mobile.W005"].msg
        MobileLogin.objects.filter(pk=lax.pk).update(is_active=False)
        assert "login_mobile.W005" not in found("default")

    def test_w007_one_that_is_switched_off_keeps_staff_in(self, broker, db):
        off = a_login(allow_staff=True)
        assert "login_mobile.W007" not in found("default")
        MobileLogin.objects.filter(pk=off.pk).update(is_active=False)
        assert "switched off: “Main”." in found("default")["login_mobile.W007"].msg
        a_login(key="other", name="Other", is_default=False)
        assert "login_mobile.W007" in found("default")
        MobileLogin.objects.filter(key="other").update(allow_staff=True)
        assert "login_mobile.W007" not in found("default")
        MobileLogin.objects.update(allow_staff=False)
        assert "login_mobile.W007" not in found("default")

    def test_what_opens_no_accounts_may_differ(self, broker, db):
        a_login()
        a_login(key="shop", is_default=False, cap_per_day=10, allow_registration=False, ask_nickname=True)
        assert found("default") == {}


class TestUserModels:
    """Which fields of a user model our factory cannot fill."""

    @isolate_apps("login_mobile")
    def test_of_the_models_own(self):
        class Member(AbstractBaseUser):
            username = models.CharField(max_length=50, unique=True)
            email = models.EmailField(unique=True)
            badge = models.CharField(max_length=8, default="")
            card = models.CharField(max_length=8, null=True, unique=True)
            token = models.UUIDField(default=uuid4, unique=True)
            group = models.CharField(max_length=8, default="a", unique=True)

            USERNAME_FIELD = "username"

            class Meta:
                app_label = "login_mobile"
                constraints = [
                    models.UniqueConstraint(fields=["badge"], name="badge"),
                    models.UniqueConstraint(fields=["badge", "card"], name="both"),
                ]

        assert not_filled(Member) == ["badge", "email", "group"]

    @isolate_apps("login_mobile")
    def test_of_users_who_are_named_by_their_address(self):
        class Customer(AbstractBaseUser):
            email = models.EmailField(unique=True)

            USERNAME_FIELD = "email"

            class Meta:
                app_label = "login_mobile"

        assert not_filled(Customer) == ["email"]

    @isolate_apps("login_mobile")
    def test_of_one_with_a_table_for_what_it_adds(self):
        class Member(User):
            badge = models.CharField(max_length=8, unique=True)

            class Meta:
                app_label = "login_mobile"

        class Linked(User):
            key = models.BigAutoField(primary_key=True)
            user = models.OneToOneField(User, models.CASCADE, parent_link=True, related_name="linked")

            class Meta:
                app_label = "login_mobile"

        assert not_filled(Member) == ["badge"]
        assert not_filled(Linked) == []

    def test_djangos_own_is_fine(self):
        assert not_filled(User) == []

    def test_w004_says_so_unless_a_factory_of_ones_own_is_set(self, settings, monkeypatch):
        assert "login_mobile.W004" not in found()
        monkeypatch.setattr(User, "USERNAME_FIELD", "email")
        message = found()["login_mobile.W004"]
        assert "email" in message.msg
        assert "USER_FACTORY" in message.hint
        settings.LOGIN_MOBILE = {"USER_FACTORY": "tests.test_login_accounts.our_factory"}
        assert "login_mobile.W004" not in found()


@pytest.mark.databases
class TestConstraints:
    """What the form refuses, the database does too: a shell or a fixture asks no form."""

    @pytest.mark.parametrize("field", sorted(BOUNDS))
    def test_bounds_hold_in_the_database(self, db, field):
        a_login()
        for within in BOUNDS[field]:
            MobileLogin.objects.update(**{field: within})
        least, most = BOUNDS[field]
        for beyond in (least - 1, most + 1):
            with pytest.raises((IntegrityError, DataError)), transaction.atomic():
                MobileLogin.objects.update(**{field: beyond})

    def test_there_is_one_default(self, db):
        first, second = a_login(), a_login(key="second")
        first.refresh_from_db()
        assert (first.is_default, second.is_default) == (False, True)
        third = a_login(key="third", is_default=False)
        with pytest.raises(IntegrityError), transaction.atomic():
            MobileLogin.objects.filter(pk=third.pk).update(is_default=True)
        third.is_default = True
        third.full_clean()
        third.save()
        assert MobileLogin.objects.get(is_default=True) == third

    def test_another_default_that_is_made_meanwhile_is_replaced_too(self, db, monkeypatch):
        other, login = a_login(), a_login(key="second")
        faster = [other]
        save = MobileLogin.save_base

        def be_slow(self: MobileLogin, **kwargs: Any) -> None:
            while faster:
                MobileLogin.objects.filter(pk=faster.pop().pk).update(is_default=True)
            save(self, **kwargs)

        MobileLogin.objects.update(is_default=False)
        monkeypatch.setattr(MobileLogin, "save_base", be_slow)
        login.save()
        assert MobileLogin.objects.get(is_default=True) == login

    def test_only_what_is_saved_changes_the_default(self, db):
        stale, default = a_login(), a_login(key="second")
        stale.name = "Changed"
        stale.save(update_fields=["name"])
        assert MobileLogin.objects.get(is_default=True) == default
        assert MobileLogin.objects.get(pk=stale.pk).name == "Changed"
        stale.save(update_fields=iter(["is_default"]))
        assert MobileLogin.objects.get(is_default=True) == stale

    def test_all_bounds_are_validated_at_once(self, db, django_assert_max_num_queries):
        login = a_login()
        with django_assert_max_num_queries(6):
            login.full_clean()
        login.send_pause = 1
        assert set(errors_of(login)) == {"send_pause"}
        with pytest.raises(ValidationError, match="below its least value"):
            login.validate_constraints()


class Apart:
    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "default" if model._meta.app_label == "login_mobile" else "elsewhere"


class TestConfigurations:
    """What cannot work is refused, in words that say what to do. More of it, through the form: test_admin_login."""

    def alibaba_cloud(self) -> AlibabaCloudSms:
        return AlibabaCloudSms.objects.create(
            key="ali", name="China", access_key="LTAI5tExampleExample", access_secret="-", verify_sign="示例公司"
        )

    def template(self, **changes: Any) -> SmsTemplate:
        fields = {"key": "other", "name": "Other", "purpose": "otp", "text": "Your code is ${code}.", **changes}
        return SmsTemplate.objects.create(**fields)

    def test_what_works_is_taken(self, db):
        assert errors_of(a_login()) == {}

    def test_by_code_without_a_code(self, db):
        login = a_login(self.alibaba_cloud(), template=self.template())
        (message,) = errors_of(login)["template"]
        assert "has no template code for “China”" in message
        assert "Add the code" in message
        TemplateCode.objects.create(template=login.template, service=login.sms_service, code="SMS_100001")
        assert errors_of(login) == {}

    def test_any_other_without_a_text(self, db):
        assert "has no text" in errors_of(a_login(template=self.template(text="", variables="code")))["template"][0]

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"text": "Hello."}, "has no place for the code"),
            ({"text": "${code} ${name}"}, "${name}"),
            ({"text": "${otp}"}, "${otp}"),
            ({"purpose": "notification"}, "is not for one-time codes"),
        ],
    )
    def test_other_variables_or_another_purpose(self, db, changes, says):
        messages = errors_of(a_login(template=self.template(**changes)))["template"]
        assert any(says in message for message in messages)

    def test_codes_that_the_platform_would_not_take(self, db):
        service, template = self.alibaba_cloud(), self.template()
        TemplateCode.objects.create(template=template, service=service, code="SMS_100001")
        assert "6 digits" in errors_of(a_login(service, template=template, code_length=7))["code_length"][0]

    @pytest.mark.parametrize(
        ("field", "least", "most"),
        [
            ("code_length", 6, 8), ("code_minutes", 1, 10), ("attempts_per_code", 1, 10), ("failures_per_hour", 1, 100),
            ("failures_per_day", 1, 100), ("send_pause", 30, 3600), ("sends_per_hour", 1, 60),
            ("sends_per_day", 1, 200), ("address_sends_per_hour", 1, 10_000), ("address_verifications", 1, 10_000),
            ("cap_per_prefix", 1, 10_000),
            ("pause_below_percent", 0, 100), ("recycled_after_days", 1, 3650),
        ],
    )  # fmt: skip
    def test_bounds(self, db, field, least, most):
        login = a_login()
        for value, refused in ((least - 1, True), (least, False), (most, False), (most + 1, True)):
            setattr(login, field, value)
            messages = " ".join(errors_of(login).get(field, []))
            assert ("Ensure this value is" in messages) == refused, value

    def test_the_defaults_are_those_of_the_security_table(self, db):
        login = MobileLogin()
        expected = {
            "code_length": 6,
            "code_minutes": 5,
            "attempts_per_code": 5,
            "failures_per_hour": 10,
            "failures_per_day": 20,
            "send_pause": 60,
            "sends_per_hour": 5,
            "sends_per_day": 10,
            "address_sends_per_hour": 10,
            "address_sends_per_day": 50,
            "address_verifications": 30,
            "recycled_after_days": 90,
        }
        assert {name: getattr(login, name) for name in expected} == expected
        assert not login.allow_staff
        assert get_settings().TRUSTED_PROXIES == 0
        assert login.regions == ["US"]

    @pytest.mark.parametrize("regions", [[], ["XX"], ["us"], "US", {"US": 1}, ["US", "US"], [["US"]], [5]], ids=repr)
    def test_countries_that_are_none(self, db, regions):
        assert "regions" in errors_of(a_login(regions=regions))

    def test_there_is_one_default(self, db):
        first = a_login()
        second = a_login(key="second", name="Second")
        first.refresh_from_db()
        assert (first.is_default, second.is_default) == (False, True)

    def test_the_contracts_fields_suffice(self, db):
        service = a_login().sms_service
        login = MobileLogin.objects.create(
            key="site", name="Site", sms_service=service, template=SmsTemplate.objects.get(), regions=["US"]
        )
        assert (login.allow_registration, login.ask_nickname, login.is_default) == (True, False, False)
        assert errors_of(login) == {}


def test_old_challenges_are_purged(front_end, transactional_db):  # noqa: F811
    a_login()
    front_end().ask()
    front_end().ask("+12065550124")
    Challenge.objects.filter(phone_number="+12065550124").update(created_at=timezone.now() - timedelta(days=91))
    purge()
    assert Challenge.objects.get().phone_number == "+12065550123"
