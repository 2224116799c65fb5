from django.urls import include, path

from .pages import account, login

app_name = "login_mobile"

urlpatterns = [
    path("", login.login, name="login"),
    path("code/", login.code, name="code"),
    path("nickname/", login.nickname, name="nickname"),
    path("logout/", login.logout, name="logout"),
    path("bye/", login.logged_out, name="logged_out"),
    path("account/", account.account, name="account"),
    path("number/", account.number, name="number"),
    path("number/code/", account.number_code, name="number_code"),
    path("number/remove/", account.remove, name="remove"),
    path("confirm/", account.confirm, name="confirm"),
    path("confirm/code/", account.confirm_code, name="confirm_code"),
    path("api/", include("login_mobile.json.urls")),
]
