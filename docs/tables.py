"""Tables that are read from the source: the numbers of the refresh, the settings file, what was measured of the peers."""

from __future__ import annotations

import ast
import io
import json
import tokenize
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
OURS = "oauth_session"
Rows = list[list[str]]


def listed(rows: Rows, widths: str = "") -> str:
    """A list table; the first row is its heading."""
    lines = [
        ".. list-table::",
        "   :class: names",
        "   :header-rows: 1",
        *([f"   :widths: {widths}"] if widths else []),
        "",
    ]
    for row in rows:
        lines += [f"   {'*' if number == 0 else ' '} - {cell}".rstrip() for number, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


# -- the numbers -------------------------------------------------------------------------------------------------------


def constants(source: str) -> list[tuple[str, float, str]]:
    """The numbers of a module with the comment behind each, or else before it."""
    said = {
        token.start[0]: token.string.lstrip("# ").rstrip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = []
    for node in ast.parse(source).body:
        if not isinstance(node, ast.Assign):
            continue
        reason, above = said.get(node.lineno, ""), node.lineno - 1
        before: list[str] = []
        while above in said and source.splitlines()[above - 1].startswith("#"):
            before.insert(0, said[above])
            above -= 1
        target = node.targets[0]
        names = [each.id for each in (target.elts if isinstance(target, ast.Tuple) else [target])]  # type: ignore[attr-defined]
        scope: dict[str, Any] = {name: value for name, value, _ in found}
        values = eval(ast.unparse(node.value), {}, scope)
        for name, value in zip(names, values if isinstance(values, tuple) else [values], strict=True):
            found.append((name, value, reason or " ".join(before)))
    return found


def numbers() -> str:
    """The numbers of `policy.py`, each with its reason."""
    from oauth_session import policy

    rows = [["Number", "Value", "Why"]]
    for name, value, reason in constants(Path(policy.__file__).read_text()):
        reason = reason.replace("`", "``").replace("invalid_grant", "``invalid_grant``").rstrip(".") + "."
        unit = "" if name in ("SEEDS_REMEMBERED", "RECENT") else " s"
        rows.append([f"``{name}``", f"{value:g}{unit}", reason[:1].upper() + reason[1:]])
    return listed(rows, "24 10 66")


# -- the settings file -------------------------------------------------------------------------------------------------

MEANS = {
    "client_secret": "a secret: ``env:NAME`` or ``file:PATH``, nothing else; leave it out for a public client",
    "private_key": 'a secret, for ``client_auth = "private_key_jwt"``: PEM or JWK',
    "keys": "a secret: the ring that encrypts the store, see :doc:`/encryption`",
    "key_id": "the ``kid`` of that key",
    "algorithm": "with which that key signs",
    "cert": "path of the certificate, for ``tls_client_auth`` and ``self_signed_tls_client_auth``",
    "cert_key": "path of its key, where that is apart",
    "port": "of the loopback address at which a login ends; any free one unless given",
    "params": 'further parameters of the login\'s address, such as ``{prompt = "consent"}``',
    "margin": "seconds; as in `RefreshPolicy`",
    "grant_type": "``refresh_token`` or ``client_credentials``",
    "store": "as in `OAuthSession`; a SQLite file in the platform's folder for data unless given",
}
KINDS = {dict: "table", list: "list", bool: "true or false", int: "number", str: "text"}


def settings() -> str:
    """Every key that a service's table may have."""
    from oauth_session.cli.settings import _OTHERS, _SECRETS, _TEXTS

    rows = [["Key", "Kind", "Meaning"]]
    for name in (*_TEXTS, *_SECRETS, *_OTHERS):
        kind: Any = _OTHERS.get(name, str)
        kinds = [KINDS[each] for each in getattr(kind, "__args__", (kind,)) if each is not float]
        rows.append([f"``{name}``", " or ".join(kinds), MEANS.get(name, "as in `OAuthSession`")])
    return listed(rows, "24 16 60")


# -- the peers, as measured -------------------------------------------------------------------------------------------


def measured() -> dict[str, str]:
    """The blocks of the comparison, by their marks."""
    found = json.loads((DOCS / "figures" / "bench.json").read_text())
    peers = list(found["threads"])
    return {
        "storm": listed([["", *(name for name in peers)], *_storm(found, peers)]),
        "request": listed([["", *(name for name in peers)], *_request(found, peers)]),
        "when": f"Measured on {found['machine']}, {found['conditions']['processes']['date']}.",
    }


def _storm(found: Any, peers: list[str]) -> Rows:
    threads, processes = found["threads"], found["processes"]
    return [
        ["50 threads, one expired token: token calls", *(f"{threads[each]['token_calls']:,}" for each in peers)],
        ["... requests that failed", *(f"{threads[each]['failed']:,}" for each in peers)],
        ["... the grant afterwards", *(_fate(threads[each]) for each in peers)],
        ["8 processes x 4 threads for 20 s: token calls", *(f"{processes[each]['token_calls']:,}" for each in peers)],
        ["... requests", *(f"{processes[each]['requests']:,}" for each in peers)],
        ["... that failed", *(f"{processes[each]['failed']:,}" for each in peers)],
        ["... the grant afterwards", *(_fate(processes[each]) for each in peers)],
    ]


def _fate(state: Any) -> str:
    if state["grant_alive"]:
        return "alive"
    lost = state.get("lost_after")
    return "**lost**" if lost is None else f"**lost** after {lost:.1f} s"


def _request(found: Any, peers: list[str]) -> Rows:
    cost, imports = found["cost"], found["imports"]
    rows = [
        ["CPU of a request, loopback", *(f"{cost['loopback'][each]['cpu']:.2f}" for each in peers)],
        ["... without a network", *(f"{cost['stub'][each]['cpu']:.2f}" for each in peers)],
        ["store commands per request", *(_commands(found, each) for each in peers)],
        ["import, above requests", *(_imported(imports, each) for each in peers)],
    ]
    for status in ("401", "403"):
        by = [found["permissions"][each][status] for each in peers]
        rows.append(
            [f"200 requests that are not allowed ({status}): token calls", *(f"{e['token_calls']:,}" for e in by)]
        )
        rows.append(["... API calls", *(f"{e['api_calls']:,}" for e in by)])
    for kind in found["replays"][OURS]:
        rows.append([f"a body ({kind}), then a 401", *(_replayed(found["replays"][each][kind]) for each in peers)])
    rows.append(
        ["200 expiries with ``stream=True``: API connections", *(f"{found['connections'][e]['api']:,}" for e in peers)]
    )
    return rows


def _commands(found: Any, name: str) -> str:
    return f"{found['commands'][name]:.0f}" if name in found["commands"] else ""


def _imported(imports: Any, name: str) -> str:
    each = imports.get(f"{name}, first name used") or imports.get(name)
    return f"{each['milliseconds']:.0f} ms, {each['megabytes']:.0f} MB" if each else ""


def _replayed(said: str) -> str:
    if said.startswith("REPLAYED"):
        return f"**sent with {said.split()[2]} of 10,000 bytes**"
    return {"replayed whole": "sent again, whole"}.get(said, said.replace("not replayed: ", "not sent again: "))


def put(page: str, name: str, text: str) -> str:
    """The page with this text between its two marks."""
    begin, end = f".. measured: begin {name}\n", f".. measured: end {name}\n"
    before, _, rest = page.partition(begin)
    _, there, after = rest.partition(end)
    assert there, f"there is no place for {name}"
    return f"{before}{begin}\n{text.strip()}\n\n{end}{after}"
