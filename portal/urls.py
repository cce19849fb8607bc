"""Top-level URLs."""

from django.urls import include, path

from portal import health

urlpatterns = [
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("", include("accessmgmt.urls")),
]
