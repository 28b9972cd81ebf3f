"""What sessions and clients are given, folded into the settings of a registration; a provider fills in the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .asking import several
from .errors import ConfigurationError
from .events import Listener, ShortGrace
from .policy import RefreshPolicy
from .rules.detection import Detection
from .rules.metadata import Metadata
from .rules.token_request import ClientAuth
from .telling import listeners_of, tell_once


def folded(
    *,
    token_url: str | None,
    provider: Any,
    provider_params: Mapping[str, str] | None,
    client_id: str | None,
    client_secret: Any,
    client_auth: str | ClientAuth | None,
    refresh: RefreshPolicy | None,
    rotation: str | None,
    reuse_grace: float | None,
    detect: Detection | None,
    refresh_on: Iterable[int] | None,
    expired_when: Sequence[Mapping[str, Any]] | None,
    on_event: Listener | Sequence[Listener] | None,
    issuer: str | None,
    metadata: Mapping[str, Any] | None,
    **settings: Any,
) -> dict[str, Any]:
    """The arguments of a `Registration`.

    Raises:
        ConfigurationError: an argument is wrong or missing; the message names it.
    """
    if refresh is not None and not isinstance(refresh, RefreshPolicy):
        raise ConfigurationError("refresh must be a RefreshPolicy")
    if detect is not None and not isinstance(detect, Detection):
        raise ConfigurationError("detect must be a Detection")
    listeners = listeners_of(on_event)
    by_hand, known = Metadata.of(metadata), None
    token_url = token_url or by_hand.endpoint("token_endpoint")
    policy, found = refresh or RefreshPolicy(), detect or Detection()
    if provider_params is not None and not isinstance(provider_params, Mapping):
        raise ConfigurationError("provider_params must map the names of placeholders to their values")
    if provider is not None:
        from . import providers  # what is not used is not imported

        known = providers.bound(provider, provider_params or {}, token_url)
        policy, found = known.settings(refresh, detect)
        token_url = known.profile.token_url or None
        if client_auth is None and client_secret is not None:
            client_auth = known.profile.client_auth
    elif provider_params:
        raise ConfigurationError("provider_params are for the placeholders of a provider")
    if (token_url is None and issuer is None) or client_id is None:
        raise ConfigurationError("token_url (or issuer) and client_id are needed: where to refresh, and as whom")
    if rotation is not None:
        policy = replace(policy, rotation=rotation)  # type: ignore[arg-type]
    if reuse_grace is not None:
        policy = replace(policy, reuse_grace=reuse_grace)
    if refresh_on is not None:
        found = replace(found, refresh_on=refresh_on)
    if expired_when is not None:
        found = replace(found, expired_when=expired_when)
    if not policy.is_in_time:
        says = (
            f"a grace of {policy.reuse_grace:g} s is too short for token_timeout and lease "
            f"({policy.patience:g} s and {policy.lease:g} s): after a crash the used refresh token may come too late"
        )
        tell_once(listeners, ShortGrace(reason=says))
    lists = {name: several(settings.pop(name)) for name in ("resource", "audience")}
    return {
        "token_url": token_url,
        "client_id": client_id,
        "client_secret": client_secret,
        "client_auth": client_auth,
        "provider": known,
        "refresh": policy,
        "detect": found,
        "listeners": listeners,
        "issuer": issuer,
        "metadata": by_hand,
        **lists,
        **settings,
    }
