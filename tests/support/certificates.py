"""Certificates for a server and its clients, and keys of each kind, made on the spot."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_START = datetime.datetime(2020, 1, 1)
_END = datetime.datetime(2120, 1, 1)


def pem(key: Any) -> str:
    """The private key as PEM text."""
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


def new_key(algorithm: str) -> tuple[str, dict[str, Any]]:
    """A private key for an algorithm as PEM text, and its public JWK."""
    key: Any
    if algorithm[:2] in ("RS", "PS"):
        key = rsa.generate_private_key(65537, 2048)
        public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())
    elif algorithm[:2] == "ES":
        curve = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}[algorithm]
        key = ec.generate_private_key(curve())
        public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())
    else:
        key = ed25519.Ed25519PrivateKey.generate()
        public = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key())
    return pem(key), json.loads(public) | {"kid": algorithm, "use": "sig"}


class Authority:
    """A certificate authority in a folder: `ca.pem`, and `name.pem` with `name.key` for each that it makes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        own = self._builder(self._name, self._key, self._name).add_extension(
            x509.BasicConstraints(True, None), critical=True
        )
        self._write("ca.pem", own.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def make(self, name: str, alternative: x509.GeneralName, *, self_signed: bool = False) -> dict[str, Any]:
        """A certificate with its key; returns the public JWK with the certificate in it (RFC 7517 section 4.7)."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, key, subject if self_signed else self._name)
        builder = builder.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        made = builder.sign(key if self_signed else self._key, hashes.SHA256())
        self._write(f"{name}.pem", made.public_bytes(Encoding.PEM))
        self._write(f"{name}.key", pem(key).encode())
        public: dict[str, Any] = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
        return public | {"x5c": [base64.b64encode(made.public_bytes(Encoding.DER)).decode()]}

    def server(self) -> None:
        self.make("server", x509.IPAddress(ipaddress.ip_address("127.0.0.1")))

    def client(self, name: str, *, self_signed: bool = False) -> dict[str, Any]:
        return self.make(name, x509.DNSName(f"{name}.test"), self_signed=self_signed)

    def files(self, name: str) -> tuple[str, str]:
        """As requests' `cert`."""
        return str(self.folder / f"{name}.pem"), str(self.folder / f"{name}.key")

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.pem")

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, issuer: x509.Name
    ) -> x509.CertificateBuilder:
        return x509.CertificateBuilder(
            issuer_name=issuer,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=_START,
            not_valid_after=_END,
        )

    def _write(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)
