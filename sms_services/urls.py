from django.urls import path

from . import views

app_name = "sms_services"

urlpatterns = [
    path("sandbox/", views.sandbox_inbox, name="sandbox_inbox"),
    path("sandbox/phone/", views.choose_sandbox_phone, name="choose_sandbox_phone"),
    path("sandbox/clear/", views.clear_sandbox_inbox, name="clear_sandbox_inbox"),
]
