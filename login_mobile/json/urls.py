from django.urls import path

from . import login, numbers

urlpatterns = [
    path("config/", login.config, name="api-config"),
    path("request/", login.request_code, name="api-request"),
    path("resend/", login.resend, name="api-resend"),
    path("verify/", login.verify, name="api-verify"),
    path("status/", login.status, name="api-status"),
    path("number/request/", numbers.request_number, name="api-number-request"),
    path("number/verify/", numbers.verify_number, name="api-number-verify"),
    path("number/remove/", numbers.remove_number, name="api-number-remove"),
    path("reauthenticate/request/", numbers.request_reauthentication, name="api-reauthenticate-request"),
    path("reauthenticate/verify/", numbers.verify_reauthentication, name="api-reauthenticate-verify"),
]
