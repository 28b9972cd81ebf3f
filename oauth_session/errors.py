"""The errors, one for each thing that a caller must do.

.. code-block:: text

    requests.RequestException
    └── OAuthSessionError              something about the login went wrong
        ├── ConfigurationError         mend the arguments (also a ValueError)
        ├── TokenRequestError          the token endpoint said no, or nothing usable
        │   ├── InvalidGrant           the user must log in again
        │   ├── InvalidClient          mend client_id, client_secret or client_auth
        │   └── TemporarilyUnavailable try again later (.retry_after, seconds)
        ├── LoginFailed                nobody was logged in: begin the login again
        ├── InteractionRequired        the API wants the person: log in again with .params()
        ├── RefreshTimeout             still being refreshed; try again soon
        ├── RefreshOutcomeUnknown      two answers were lost: refresh(force=True), or log in
        └── StoreError                 the token store is away, full or holds nonsense
            ├── RecordSealed           it is encrypted, and not for the keys that are given: mend keys=
            ├── RecordPlain            it is not encrypted although keys are given: reencrypt()
            └── RecordForged           it was moved or altered by somebody without the keys

Every error can be pickled and none holds a secret: ``.response`` is a scrubbed copy, ``.request`` is None.
"""

from __future__ import annotations

from requests import RequestException, Response


class OAuthSessionError(RequestException):
    """The base of all errors of this package; catching ``requests.RequestException`` catches it too."""


class ConfigurationError(OAuthSessionError, ValueError):
    """An argument is wrong or missing; the message says which one and what it should be."""


class TokenRequestError(OAuthSessionError):
    """The token endpoint refused, or answered something that is no token response.

    Attributes:
        error: the ``error`` code of RFC 6749 section 5.2, if there was one.
        error_description: the server's own words, secrets cut out.
        error_uri: a page of the server's about the error.
        response: a scrubbed copy of the answer (status and a few harmless headers), if there was one.
    """

    def __init__(
        self,
        message: str = "",
        *,
        error: str | None = None,
        error_description: str | None = None,
        error_uri: str | None = None,
        response: Response | None = None,
    ) -> None:
        super().__init__(message, response=response)
        self.request = None
        self.error = error
        self.error_description = error_description
        self.error_uri = error_uri


class InvalidGrant(TokenRequestError):
    """The refresh token is dead (expired, revoked, or used by somebody else): the user must log in again."""


class InvalidClient(TokenRequestError):
    """The client itself was refused. The grant is kept: mend the client's settings and go on."""


class TemporarilyUnavailable(TokenRequestError):
    """The token endpoint is down, busy or in back-off. The grant is kept.

    Attributes:
        retry_after: seconds until the next attempt makes sense, if known.
    """

    def __init__(
        self,
        message: str = "",
        *,
        error: str | None = None,
        error_description: str | None = None,
        error_uri: str | None = None,
        response: Response | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(
            message, error=error, error_description=error_description, error_uri=error_uri, response=response
        )
        self.retry_after = retry_after


class LoginFailed(OAuthSessionError):
    """A login that a person has begun did not end in a token: refused, expired, given up, or the answer is not ours.

    Attributes:
        error: the server's error code, if it sent one.
        error_description: the server's own words.
    """

    def __init__(self, message: str = "", *, error: str | None = None, error_description: str | None = None) -> None:
        super().__init__(message)
        self.error = error
        self.error_description = error_description


class InteractionRequired(OAuthSessionError):
    """An API refused for want of authentication, claims or scope; no refresh can bring them. See `interaction_required`.

    Attributes:
        error: the code of the challenge.
        acr_values, max_age: the authentication that is wanted (RFC 9470).
        scope: that is wanted (RFC 6750).
        claims: that are wanted, as JSON text.
        resource_metadata: where the API describes itself (RFC 9728); nothing is fetched from there by itself.
    """

    def __init__(
        self,
        message: str = "",
        *,
        error: str | None = None,
        acr_values: str | None = None,
        max_age: int | None = None,
        scope: str | None = None,
        claims: str | None = None,
        resource_metadata: str | None = None,
    ) -> None:
        super().__init__(message)
        self.error, self.scope, self.claims, self.resource_metadata = error, scope, claims, resource_metadata
        self.acr_values, self.max_age = acr_values, max_age

    def params(self) -> dict[str, str]:
        """For `OAuthClient.authorize_url` and `login`, as `params`: what the API wants the login to bring."""
        wanted = {"acr_values": self.acr_values, "scope": self.scope, "claims": self.claims}
        if self.max_age is not None:
            wanted["max_age"] = str(self.max_age)
        return {name: value for name, value in wanted.items() if value is not None}


class RefreshTimeout(OAuthSessionError):
    """The caller's deadline passed while a refresh was under way; the refresh goes on and will be committed."""


class RefreshOutcomeUnknown(OAuthSessionError):
    """Two refreshes of one refresh token ended without an answer; a third may revoke the grant.

    Call ``refresh(force=True)`` to try all the same, or log in again and ``put`` the new token.
    """


class StoreError(OAuthSessionError):
    """The token store cannot be reached, cannot be written, or holds something that is no record of ours."""


class RecordSealed(StoreError):
    """The record is encrypted, and `keys=` is missing or lacks the key; nothing was overwritten."""


class RecordPlain(StoreError):
    """The record is not encrypted although `keys=` is given: whoever can write to the store could have put it there.

    ``client.reencrypt()``, or ``oauth-session keys reencrypt``, takes over the records from before there were keys.
    """


class RecordForged(StoreError):
    """The record is not what the holders of the keys wrote for this grant: it was moved or altered. `put` replaces it."""
