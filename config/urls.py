from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    # Browsers ask for it on pages that name no icon, as the admin's.
    path("favicon.ico", RedirectView.as_view(url=static("sms_services/sandbox.svg"))),
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
    path("login/", include("login_mobile.urls")),
    path("sms/", include("sms_services.urls")),
    path("approvals/", include("approvals.urls")),
]
