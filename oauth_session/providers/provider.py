"""A provider as a registration uses it: a profile with the values of its placeholders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ..errors import ConfigurationError
from ..policy import RefreshPolicy
from ..rules.detection import Detection
from ..rules.flow import Placement
from ..rules.grants import Form
from ..rules.record import Pair
from ..rules.token_request import Dialect, TokenRequest
from ..tokens import Token
from .answers import Reader, flatten
from .profile import Profile


@dataclass(frozen=True, slots=True)
class Provider:
    """How to ask this provider, how to read it, and where its tokens may go."""

    profile: Profile

    @property
    def placement(self) -> Placement:
        """Where the token travels."""
        return Placement(self.profile.header, self.profile.scheme)

    def settings(self, refresh: RefreshPolicy | None, detect: Detection | None) -> tuple[RefreshPolicy, Detection]:
        """The user's settings; what they leave at its default is the profile's."""
        return _merged(refresh, self.profile.policy), _merged(detect, self.profile.detection)

    def allowed(self, base_url: str | None) -> tuple[str, ...] | None:
        """The origins, if the user names none.

        Raises:
            ConfigurationError: a placeholder is in the way, and there is no `base_url` either.
        """
        if self.profile.missing and base_url is None:
            raise ConfigurationError(
                f"{self.profile.file}: provider_params: {', '.join(self.profile.missing)} must be given"
            )
        return self.profile.origins or None

    def dialect(self, form: Form, renews: bool) -> Dialect:
        """How it wants token requests. What belongs to a refresh adds to another grant what that does not say itself."""
        profile = self.profile
        more = {n: text for n, text in profile.refresh_params.items() if renews or n not in form}
        return Dialect(
            profile.request_format, profile.request_method, profile.param_names, more, profile.refresh_headers
        )

    def completed(self, request: TokenRequest, old: Pair | None) -> TokenRequest:
        """The request with the provider's reading of the answer, and as the user's own code wants it.

        Args:
            old: what is refreshed; None for any other grant.

        Raises:
            ConfigurationError: `build_refresh` gave something else.
        """
        reader, profile = Reader(self.profile), self.profile
        if old is not None and profile.build_refresh is not None:
            built = profile.build_refresh(request, old.token())
            if not isinstance(built, TokenRequest):
                raise ConfigurationError("build_refresh must return the TokenRequest to send")
            request = replace(request, url=built.url, headers=built.headers, body=built.body, method=built.method)
        follow = reader.follow if profile.after_refresh is not None else None
        return replace(request, read=reader.read, follow=follow)

    def flat(self, value: Token | Mapping[str, Any]) -> Token | Mapping[str, Any]:
        """A token response of this provider with the names of RFC 6749."""
        return flatten(self.profile, value) if isinstance(value, Mapping) else value

    def renewable(self, pair: Pair) -> Pair:
        """The pair, where the access token itself is what is renewed, as one that says so."""
        if not self.profile.refresh_needs_live_token or pair.refresh_token is not None:
            return pair
        return replace(pair, refresh_token=pair.access_token)


def _merged(theirs: Any, own: Any) -> Any:
    """A value of settings in which what the user left at its default is the profile's."""
    if theirs is None:
        return own
    plain = type(theirs)()
    given = {f.name: getattr(theirs, f.name) for f in fields(theirs) if f.init}
    return replace(own, **{name: value for name, value in given.items() if value != getattr(plain, name)})
