"""npm's oidc-provider with everything on that it has, and one client for each client authentication."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import requests

from oauth_session.stores import MemoryStore

from .authorization import HERE, Client, _installed_oidc_provider, _node
from .certificates import Authority, new_key
from .person import Person
from .servers import Server, free_port

ODD: Client = {
    "client_id": "odd: id/%+&=",
    "client_secret": "s:e/c%r+e&t= with blanks, of a length",
}  # it allows ASCII alone
ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA")
CALLBACK = "http://127.0.0.1/callback"


class GrantsServer(Server):
    """Started with its clients; `keys` are the private keys of those that sign, `authority` makes certificates."""

    def __init__(self, folder: Path, *, lifetime: int = 3600, nonces: bool = False, device: int = 60) -> None:
        self.authority = Authority(folder)
        self.authority.server()
        self.keys: dict[str, str] = {}
        secret = "a secret of more than thirty-two characters, for HS256, and for HS384 and HS512 too: sixty-four"
        clients: list[dict[str, Any]] = [
            {"client_id": "app", "client_secret": secret},
            dict(ODD),
            {"client_id": "poster", "client_secret": secret, "token_endpoint_auth_method": "client_secret_post"},
            {"client_id": "hasher", "client_secret": secret, "token_endpoint_auth_method": "client_secret_jwt"},
            {"client_id": "public", "token_endpoint_auth_method": "none", "grant_types": PERSONAL},
            {"client_id": "bound", "client_secret": secret, "dpop_bound_access_tokens": True},
            {"client_id": "pusher", "client_secret": secret, "require_pushed_authorization_requests": True},
            {
                "client_id": "certified",
                "token_endpoint_auth_method": "tls_client_auth",
                "tls_client_auth_san_dns": "certified.test",
                "tls_client_certificate_bound_access_tokens": True,
            },
            {
                "client_id": "self-signed",
                "token_endpoint_auth_method": "self_signed_tls_client_auth",
                "tls_client_certificate_bound_access_tokens": True,
                "jwks": {"keys": [self.authority.client("self-signed", self_signed=True)]},
            },
        ]
        self.authority.client("certified")
        self.authority.client("stranger")
        for algorithm in ALGORITHMS:
            self.keys[algorithm], public = new_key(algorithm)
            clients.append(
                {
                    "client_id": f"signer-{algorithm}",
                    "token_endpoint_auth_method": "private_key_jwt",
                    "token_endpoint_auth_signing_alg": algorithm,
                    "jwks": {"keys": [public]},
                }
            )
        self.clients = {client["client_id"]: client for client in clients}
        self.tls_port = free_port()
        port, home = free_port(), _installed_oidc_provider()
        shutil.copy(HERE / "grants.mjs", home / "grants.mjs")  # where node looks for its modules
        env = {
            "PORT": str(port),
            "TLS_PORT": str(self.tls_port),
            "TLS": str(folder),
            "LIFETIME": str(lifetime),
            "DEVICE": str(device),
            "NONCES": "1" if nonces else "",
            "CLIENTS": json.dumps(clients),
        }
        super().__init__([_node(), "grants.mjs"], port, env=env, cwd=home, log=folder / "grants.log")

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"https://127.0.0.1:{self.tls_port}"

    def settings(self, client_id: str, **more: Any) -> dict[str, Any]:
        """The arguments of a session or client; the API is the server's own."""
        found = {"issuer": self.issuer, "client_id": client_id, "origins": [self.issuer], "store": MemoryStore()}
        if "client_secret" in self.clients[client_id]:
            found["client_secret"] = self.clients[client_id]["client_secret"]
        return found | more

    def seen(self) -> dict[str, Any]:
        """What the server has counted."""
        answer: dict[str, Any] = requests.get(self.issuer + "/test/seen", timeout=30).json()
        return answer

    def enter(self, uri: str, consents: bool = True) -> str:
        """A person enters a device's code; the page at the end."""
        return Person(consents).visit(uri)


PERSONAL = ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"]
