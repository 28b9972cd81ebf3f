"""The settings of the command line: a TOML file with one table for each service; never a secret in it."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs

from ..client import OAuthClient
from ..errors import ConfigurationError
from ..policy import RefreshPolicy
from ..signing import MutualTls, PrivateKeyJwt

NAME = "oauth-session"
EXAMPLE = """[example]
issuer = "https://auth.example.com"       # or token_url, and metadata = {authorization_endpoint = "https://..."}
client_id = "my-app"
client_secret = "env:EXAMPLE_SECRET"      # or "file:~/.secrets/example"; leave it out for a public client
scope = "openid offline_access"
base_url = "https://api.example.com/v1/"  # the token goes to this host, and to origins = [...]
"""
_SECRETS = ("client_secret", "private_key", "keys")
_TEXTS = (
    *("issuer", "token_url", "client_id", "client_auth", "scope", "audience", "base_url", "grant_type", "rotation"),
    *("key_id", "algorithm", "cert", "cert_key", "store", "provider"),
)
_OTHERS = {
    "provider_params": dict,
    "resource": str | list,
    "origins": str | list,
    "metadata": dict,
    "allow_http": bool,
    "dpop": bool,
    "port": int,
    "params": dict,
    "refresh_on": list,
    "expired_when": list,
    "reuse_grace": int | float,
    "margin": int | float,
}


def config_file() -> Path:
    """Where the settings are looked for: `OAUTH_SESSION_CONFIG`, or the platform's place for settings."""
    named = os.environ.get("OAUTH_SESSION_CONFIG")
    return Path(named) if named else Path(platformdirs.user_config_path(NAME)) / "services.toml"


def default_store() -> str:
    """A SQLite file in the platform's place for data."""
    folder = Path(platformdirs.user_data_path(NAME))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'grants.db'}"


def services(path: Path) -> dict[str, dict[str, Any]]:
    """All services of a file.

    Raises:
        ConfigurationError: there is no such file, or it is not right; the message says where and what to do.
    """
    try:
        found = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigurationError(f"there is no {path}. Make it, with a table for each service:\n\n{EXAMPLE}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {type(error).__name__}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None
    for name, table in found.items():
        if not isinstance(table, dict):
            raise ConfigurationError(f"{path}: {name} stands outside a table; put it under [a-service]")
        _check(f"{path}: [{name}]", table)
    return found


def choose(all_of_them: Mapping[str, dict[str, Any]], name: str | None) -> tuple[str, dict[str, Any]]:
    """The service that is meant: the named one, or the only one.

    Raises:
        ConfigurationError: there is none of that name, or several and none was named.
    """
    names = ", ".join(all_of_them) or "none"
    if name is None and len(all_of_them) == 1:
        name = next(iter(all_of_them))
    if name is None:
        raise ConfigurationError(f"which service? Choose with -s NAME; there are: {names}")
    if name not in all_of_them:
        raise ConfigurationError(f"there is no service {name!r} in the settings; there are: {names}")
    return name, all_of_them[name]


def client_of(table: Mapping[str, Any], store: str | None) -> OAuthClient:
    """The client of a service."""
    given = dict(table)
    for name in ("port", "params"):
        given.pop(name, None)
    parts = {name: given.pop(name, None) for name in ("private_key", "key_id", "algorithm", "cert", "cert_key")}
    method = given.get("client_auth")
    if method == "private_key_jwt":
        if not parts["private_key"]:
            raise ConfigurationError('client_auth private_key_jwt needs private_key = "file:PATH" (or "env:NAME")')
        given["client_auth"] = PrivateKeyJwt(parts["private_key"], parts["algorithm"], parts["key_id"])
    elif method in ("tls_client_auth", "self_signed_tls_client_auth"):
        if not parts["cert"]:
            raise ConfigurationError(f'client_auth {method} needs cert = "PATH" (and cert_key, if the key is apart)')
        cert = (parts["cert"], parts["cert_key"]) if parts["cert_key"] else parts["cert"]
        given["client_auth"] = MutualTls(cert, self_signed=method.startswith("self"))
    if "margin" in given:
        given["refresh"] = RefreshPolicy(margin=given.pop("margin"))
    given["store"] = store or given.get("store") or default_store()
    if not given.get("base_url") and not given.get("origins") and not given.get("provider"):
        given["origins"] = "*"  # on the command line the person names each URL
    return OAuthClient(**given)


def _check(where: str, table: Mapping[str, Any]) -> None:
    for name, value in table.items():
        if name in _SECRETS:
            if not isinstance(value, str) or not value.startswith(("env:", "file:")):
                raise ConfigurationError(
                    f'{where}: {name} must be "env:NAME" or "file:PATH": a secret does not belong into settings'
                )
        elif name in _TEXTS:
            if not isinstance(value, str) or not value:
                raise ConfigurationError(f"{where}: {name} must be a text")
        elif name not in _OTHERS:
            known = ", ".join(sorted((*_SECRETS, *_TEXTS, *_OTHERS)))
            raise ConfigurationError(f"{where}: there is no setting {name!r}; there are: {known}")
        elif not isinstance(value, _OTHERS[name]):
            raise ConfigurationError(f"{where}: {name} is of the wrong kind")
    if not table.get("client_id") or not any(
        table.get(name) for name in ("issuer", "token_url", "metadata", "provider")
    ):
        raise ConfigurationError(f"{where} needs client_id, and issuer, token_url or provider:\n\n{EXAMPLE}")
