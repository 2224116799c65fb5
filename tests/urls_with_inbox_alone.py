"""A host project that has the inbox and the admin, and no other page."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("admin/", admin.site.urls), path("approvals/", include("approvals.urls"))]
