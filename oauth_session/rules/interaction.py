"""What an API wants of the person: more authentication (RFC 9470), more scope (RFC 6750), more claims (CAE)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable

from ..errors import InteractionRequired
from .challenges import parse_challenges
from .metadata import resource_metadata_of

_SAYS = {
    "insufficient_user_authentication": "the API wants the person to authenticate again, or more strongly (RFC 9470)",
    "insufficient_claims": "the API wants other claims: the person has to log in again with them",
    "insufficient_scope": "the API wants more scope than was granted: the person has to consent to it",
}
_PLAIN = re.compile(r"[\x20-\x7e]{1,2000}")


def interaction_of(www_authenticate: Iterable[str]) -> InteractionRequired | None:
    """What the challenges ask for, as an error that carries it; None when they ask for nothing of the kind."""
    values = list(www_authenticate)
    for challenge in parse_challenges(values):
        if challenge.error not in _SAYS:
            continue
        given = {name: text for name, text in challenge.params.items() if _PLAIN.fullmatch(text)}
        max_age = given.get("max_age", "")
        return InteractionRequired(
            _SAYS[challenge.error],
            error=challenge.error,
            acr_values=given.get("acr_values"),
            max_age=int(max_age) if max_age.isdigit() and len(max_age) < 10 else None,
            scope=given.get("scope"),
            claims=_claims(given.get("claims")),
            resource_metadata=resource_metadata_of(values),
        )
    return None


def _claims(text: str | None) -> str | None:
    """As JSON text: servers send it in base64 (Microsoft) or as it is."""
    if text is None:
        return None
    for read in (str, _from_base64):
        try:
            value = read(text)
            if isinstance(json.loads(value), dict):
                return value
        except (ValueError, RecursionError):
            continue
    return None


def _from_base64(text: str) -> str:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
