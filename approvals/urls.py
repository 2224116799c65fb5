"""The pages of approvals. A host project includes them, for example as ``approvals/``."""

from django.urls import path

from . import views

app_name = "approvals"

urlpatterns = [
    path("", views.todo, name="todo"),
    path("done/", views.done, name="done"),
    path("started/", views.started, name="started"),
    path("copied/", views.copied, name="copied"),
    path("approve/", views.approve_selected, name="approve_selected"),
    path("start/", views.start_list, name="start_list"),
    path("start/<slug:key>/", views.start, name="start"),
    path("requests/<int:pk>/", views.request_page, name="request"),
    path("requests/<int:pk>/<slug:action>/", views.act_on_request, name="act_on_request"),
    path("tasks/<int:pk>/<slug:action>/", views.act_on_task, name="act_on_task"),
]
