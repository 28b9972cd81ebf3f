"""A Django site with django-oauth-toolkit: rotation with reuse protection, an API, its own forms, and a login without any."""

from __future__ import annotations

import json
import os
import secrets
import sys
import uuid
from datetime import timedelta

import django
from django.conf import settings

URL = f"http://127.0.0.1:{sys.argv[1]}"
LOGIN = """<form method="post" action="{{ request.get_full_path }}">{% csrf_token %}{{ form }}<button>Sign in</button></form>"""

settings.configure(
    SECRET_KEY="only for tests",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    LOGIN_URL="/login",
    STATIC_URL="/static/",
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.staticfiles",
        "oauth2_provider",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "context_processors": ["django.template.context_processors.request"],
                "loaders": [
                    ("django.template.loaders.locmem.Loader", {"login.html": LOGIN}),
                    "django.template.loaders.app_directories.Loader",
                ],
            },
        }
    ],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["DATABASE"],
            "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=wal"},
        }
    },
    OAUTH2_PROVIDER={
        "ROTATE_REFRESH_TOKEN": True,
        "REFRESH_TOKEN_REUSE_PROTECTION": True,
        "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": int(os.environ["GRACE"]),
        "ACCESS_TOKEN_EXPIRE_SECONDS": int(os.environ["LIFETIME"]),
        "SCOPES": {"read": "Read"},
        "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
        "OAUTH_DEVICE_VERIFICATION_URI": URL + "/o/device/",
        "OAUTH_DEVICE_VERIFICATION_URI_COMPLETE": lambda user_code: f"{URL}/o/device/?user_code={user_code}",
        "DEVICE_FLOW_INTERVAL": 1,
    },
    LOGGING_CONFIG=None,
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.contrib.auth.views import LoginView  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import include, path  # noqa: E402
from django.utils import timezone  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from oauth2_provider.decorators import protected_resource  # noqa: E402
from oauth2_provider.models import AccessToken, Application, RefreshToken  # noqa: E402
from oauth2_provider.urls import metadata_urlpatterns  # noqa: E402


def login(request: HttpRequest) -> JsonResponse:
    application = Application.objects.get(client_id=request.GET["client_id"])
    user, _ = User.objects.get_or_create(username="user")
    lifetime = settings.OAUTH2_PROVIDER["ACCESS_TOKEN_EXPIRE_SECONDS"]
    access = AccessToken.objects.create(
        user=user,
        application=application,
        token=secrets.token_urlsafe(),
        scope="read",
        expires=timezone.now() + timedelta(seconds=lifetime),
    )
    refresh = RefreshToken.objects.create(
        user=user,
        application=application,
        token=secrets.token_urlsafe(),
        access_token=access,
        token_family=uuid.uuid4(),  # without a family, reuse protection protects nothing
    )
    return JsonResponse({"access_token": access.token, "refresh_token": refresh.token, "expires_in": lifetime})


@csrf_exempt
def alive(request: HttpRequest) -> JsonResponse:
    live = RefreshToken.objects.filter(token=request.body.decode(), revoked__isnull=True).exists()
    return JsonResponse(live, safe=False)


@protected_resource()
def api(request: HttpRequest, name: str) -> JsonResponse:
    return JsonResponse({"path": request.path})


@protected_resource(advertise_metadata=True)
def challenging(request: HttpRequest, name: str) -> JsonResponse:
    return JsonResponse({"path": request.path})


urlpatterns = [
    path("test/login", login),
    path("test/alive", alive),
    path("api/<str:name>", api),
    path("challenging/<str:name>", challenging),
    path("login", LoginView.as_view(template_name="login.html")),
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("", include((metadata_urlpatterns, "root"))),
]

if __name__ == "__main__":
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    User.objects.create_user("user", password="any")
    for client in json.loads(os.environ["CLIENTS"]):
        Application.objects.get_or_create(
            client_id=client["client_id"],
            defaults={
                "client_secret": client.get("client_secret", ""),
                "hash_client_secret": False,
                "client_type": "confidential" if "client_secret" in client else "public",
                "authorization_grant_type": client.get("grant", Application.GRANT_AUTHORIZATION_CODE),
                "redirect_uris": "http://127.0.0.1/callback",
            },
        )
    call_command("runserver", f"127.0.0.1:{sys.argv[1]}", use_reloader=False, verbosity=0)
