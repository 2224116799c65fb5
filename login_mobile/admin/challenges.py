"""The codes that were asked for, to read only. Numbers are masked; a code stands nowhere."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from sms_services.admin.read_only import GoesWithOthers
from sms_services.phone_numbers import mask

from ..choices import ChallengeState
from ..countries import by_name, country_name
from ..models import Challenge, MobileLogin
from .changelist import NewestFirst, SaysWhenEmpty
from .privacy import SearchesNumbers


class LoginFilter(admin.SimpleListFilter):
    title = _("mobile login")
    parameter_name = "login"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(pk), name) for pk, name in MobileLogin.objects.values_list("pk", "name")]

    def queryset(self, request: HttpRequest, challenges: Any) -> Any:
        value = self.value()
        if not value:
            return challenges
        return challenges.filter(login=int(value)) if value.isdecimal() and len(value) < 19 else challenges.none()


class CountryFilter(admin.SimpleListFilter):
    """Countries that some login is for; which others there are would have to be read from all challenges."""

    title = _("country")
    parameter_name = "country"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        allowed = {region for regions in MobileLogin.objects.values_list("regions", flat=True) for region in regions}
        return [(region, country_name(region)) for region in by_name(allowed)]

    def queryset(self, request: HttpRequest, challenges: Any) -> Any:
        value = self.value()
        if not value:
            return challenges
        return challenges.filter(country=value) if _is_region(value) else challenges.none()


def _is_region(value: str) -> bool:
    from phonenumbers import SUPPORTED_REGIONS

    return value in SUPPORTED_REGIONS


@admin.register(Challenge)
class ChallengeAdmin(SaysWhenEmpty, SearchesNumbers, GoesWithOthers, admin.ModelAdmin):
    list_display = ("created_at", "masked_number", "country", "purpose", "standing", "outcome", "sending")
    list_display_links = ("created_at", "masked_number")
    list_filter = (LoginFilter, CountryFilter, "outcome", "sending")
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    when_empty = _(
        "Nobody has asked for a code yet. Each code that somebody asks for is listed here, with what became of it; the "
        "code itself is stored nowhere."
    )
    lookups = frozenset({"outcome__exact", "sending__exact", "login", "country"})
    fieldsets = (
        (None, {"fields": ("login", "purpose", "masked_number", "country_name", "shown_user")}),
        (
            _("What became of it"),
            {
                "fields": (
                    "standing",
                    "outcome",
                    "attempts_words",
                    "known_device",
                    "created_at",
                    "expires_at",
                    "used_at",
                )
            },
        ),
        (_("Sending"), {"fields": ("sending", "message_link", "problem")}),
    )

    class Media:
        css = {"all": ("sms_services/admin.css", "login_mobile/admin.css")}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NewestFirst]:
        return NewestFirst

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("token_hash", "digest")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("masked_number", "country_name", "shown_user", "standing", "attempts_words", "message_link")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Without a user where none has asked: for a login, nobody looks up whose number it is, and nobody tells."""
        first, *others = super().get_fieldsets(request, obj)
        if obj is not None and obj.user_id is None:
            first = (first[0], {"fields": tuple(field for field in first[1]["fields"] if field != "shown_user")})
        return [first, *others]

    @admin.display(description=_("phone number"))
    def masked_number(self, challenge: Challenge) -> str:
        return mask(challenge.phone_number)

    @admin.display(description=_("country"))
    def country_name(self, challenge: Challenge) -> str:
        return country_name(challenge.country)

    @admin.display(description=_("asked for by"))
    def shown_user(self, challenge: Challenge) -> Any:
        return _user_link(challenge.user) if challenge.user else "-"

    @admin.display(description=_("state"))
    def standing(self, challenge: Challenge) -> Any:
        """Its state, with what follows from the clock and the attempts."""
        if challenge.state in (ChallengeState.OPEN, ChallengeState.PROVED):
            if challenge.exhausted and challenge.state == ChallengeState.OPEN:
                return _("Attempts used up")
            if challenge.expired:
                return _("Expired")
        return challenge.get_state_display()

    @admin.display(description=_("attempts"))
    def attempts_words(self, challenge: Challenge) -> Any:
        return _("%(used)d of %(allowed)d") % {"used": challenge.attempts, "allowed": challenge.attempts_allowed}

    @admin.display(description=_("message"))
    def message_link(self, challenge: Challenge) -> Any:
        if challenge.message is None:
            return "-"
        url = reverse("admin:sms_services_smsmessage_change", args=[challenge.message_id])
        return format_html('<a href="{}">{}</a>', url, challenge.message.get_status_display())


def _user_link(user: Any) -> Any:
    """A host project may have taken its users out of admin."""
    try:
        url = reverse(f"admin:{user._meta.app_label}_{user._meta.model_name}_change", args=[user.pk])
    except NoReverseMatch:
        return str(user)
    return format_html('<a href="{}">{}</a>', url, user)
