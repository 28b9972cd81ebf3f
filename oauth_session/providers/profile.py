"""A profile: what one provider does differently, as data that was checked when it was loaded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..errors import ConfigurationError
from ..policy import RefreshPolicy
from ..rules.detection import Detection, Judgement, Verdict
from ..rules.rule import Rule
from .templates import Param, fill, missing

Format = Literal["form", "json", "query"]
Expiry = Literal["seconds", "milliseconds", "epoch", "epoch_milliseconds", "iso8601", "none"]
# What an example is of: answers of the API, then answers of the token endpoint.
API_EXAMPLES = ("expired", "permission", "rate_limit", "other", "success")
TOKEN_EXAMPLES = ("refresh_granted", "refresh_dead", "refresh_transient", "refresh_early")


@dataclass(frozen=True, slots=True)
class Shape:
    """Where a token response has its members: paths, as in rules."""

    access_token: tuple[str | int, ...] = ("access_token",)
    refresh_token: tuple[str | int, ...] = ("refresh_token",)
    expires_in: tuple[str | int, ...] = ("expires_in",)
    scope: tuple[str | int, ...] = ("scope",)
    token_type: tuple[str | int, ...] = ("token_type",)


@dataclass(frozen=True, slots=True)
class Example:
    """A real answer, word for word, and what it means."""

    of: str
    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    source: str = ""

    def judged(self, detection: Detection, scheme: str = "Bearer") -> Judgement:
        """What the rules make of it."""
        asked = [value for name, value in self.headers.items() if name.lower() == "www-authenticate"]
        return detection.judge(self.status, asked, self.headers, lambda: self.body.encode(), scheme)

    def is_right(self, verdict: Verdict) -> bool:
        """Whether a verdict does justice to it: an expired token is refreshed, nothing else is."""
        return (verdict in (Verdict.EXPIRED, Verdict.MAYBE)) is (self.of == "expired")


@dataclass(frozen=True, kw_only=True, repr=False)
class Profile:
    """One provider. Made by `load`; a fact that is not here is the default's.

    Attributes:
        file: where it was read, for messages.
        sources: field -> ``verified: ...``, ``unverified: ...``, or ``chosen: ...`` for what is no fact but a choice.
        unverified: what was said without being verified; shown, never applied.
    """

    file: str
    name: str
    title: str = ""
    last_checked: str = ""
    notes: tuple[str, ...] = ()
    params: Mapping[str, Param] = field(default_factory=dict, hash=False)
    token_url: str = ""
    refresh_url: str = ""
    origins: tuple[str, ...] = ()
    client_auth: str | None = None
    request_format: Format = "form"
    request_method: Literal["POST", "GET"] = "POST"
    refresh_params: Mapping[str, str] = field(default_factory=dict, hash=False)
    refresh_headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    param_names: Mapping[str, str] = field(default_factory=dict, hash=False)
    token_response: Shape = Shape()
    expiry_format: Expiry = "seconds"
    default_lifetime: float | None = None
    token_success: tuple[Rule, ...] = ()
    header: str = "Authorization"
    scheme: str = "Bearer"
    expired_when: tuple[Rule, ...] = ()
    not_expired_when: tuple[Rule, ...] = ()
    refresh_on: tuple[int, ...] = ()
    default_401: Literal["refresh", "only_rules"] = "refresh"
    refresh_dead_when: tuple[Rule, ...] = ()
    refresh_transient_when: tuple[Rule, ...] = ()
    rotation: Literal["none", "maybe", "always"] = "maybe"
    reuse_grace: float = 0.0
    grace: Literal["none", "same_pair", "new_pair", "newest_only", "until_used"] = "none"
    revoke_on_reuse: bool = False
    access_dies_at_refresh: bool = False
    lifetime: float | None = None
    refresh_margin: float | None = 300.0
    min_token_age: float = 0.0
    refresh_needs_live_token: bool = False
    examples: tuple[Example, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict, hash=False)
    unverified: Mapping[str, Any] = field(default_factory=dict, hash=False)
    build_refresh: Callable[..., Any] | None = None
    parse_refresh: Callable[..., Any] | None = None
    after_refresh: Callable[..., Any] | None = None
    missing: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Profile {self.name}>"

    @property
    def detection(self) -> Detection:
        """Its rules."""
        return Detection(self.refresh_on, self.expired_when, self.not_expired_when, self.default_401)

    @property
    def policy(self) -> RefreshPolicy:
        """Its rotation, grace and times."""
        grace = self.reuse_grace
        if self.grace == "until_used" and not grace and self.rotation != "none":
            grace = math.inf  # who died before the commit has not used the new token, however long ago that is (law 10)
        return RefreshPolicy(
            margin=self.refresh_margin,
            rotation=self.rotation,
            reuse_grace=grace,
            min_token_age=self.min_token_age,
            needs_live_token=self.refresh_needs_live_token,
        )

    def bind(self, values: Mapping[str, object]) -> Profile:
        """The profile with values in its URLs. An origin without its value is left out and noted as missing.

        Raises:
            ConfigurationError: a value is unknown, missing for the token endpoint, or could change the host.
        """
        for name in values:
            if name not in self.params:
                has = f"; it has {', '.join(self.params)}" if self.params else "; it has none"
                raise ConfigurationError(f"{self.file}: provider_params: there is no {name!r}{has}")
        checked = {p.name: p.default for p in self.params.values() if p.default is not None}
        for name, value in values.items():
            try:
                checked[name] = self.params[name].check(value)
            except ConfigurationError as error:
                raise ConfigurationError(f"{self.file}: provider_params: {error}") from None
        extras = [*self.refresh_params.values(), *self.refresh_headers.values()]
        if lacking := missing([self.token_url, self.refresh_url, *extras], checked):
            raise ConfigurationError(f"{self.file}: provider_params: {', '.join(lacking)} must be given")
        return replace(
            self,
            token_url=fill(self.token_url, checked),
            refresh_url=fill(self.refresh_url, checked),
            refresh_params={name: fill(text, checked) for name, text in self.refresh_params.items()},
            refresh_headers={name: fill(text, checked) for name, text in self.refresh_headers.items()},
            origins=tuple(fill(origin, checked) for origin in self.origins if not missing([origin], checked)),
            missing=tuple(missing(self.origins, checked)),
        )

    def wrong_examples(self) -> list[tuple[Example, Verdict]]:
        """The examples of the API that its own rules judge wrongly."""
        judged = [(e, e.judged(self.detection, self.scheme).verdict) for e in self.examples if e.of in API_EXAMPLES]
        return [(example, verdict) for example, verdict in judged if not example.is_right(verdict)]
