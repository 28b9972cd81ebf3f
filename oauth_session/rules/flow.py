"""One request: what may carry a token, whether it can be sent again, and the copy that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

from requests import PreparedRequest, Response, cookies
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from ..errors import ConfigurationError
from ..tokens import DPOP_KEY, Token

HEADER = "Authorization"
BODY_MOST = 256 * 1024  # bytes of a refusal that are read for a rule or to keep its connection

_IDEMPOTENT = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}
# requests leaves these two untyped
_extract_cookies: Any = cookies.extract_cookies_to_jar
_cookie_header: Any = cookies.get_cookie_header
_NOT_BEARER = {"dpop", "mac", "pop", "n_a"}


def header_value(token: Token, scheme: str = "Bearer") -> str:
    """What goes into the header (RFC 6750 2.1). Servers name bearer tokens in many ways; the other schemes are known.

    Raises:
        ConfigurationError: the token is of a type that a plain header must not carry (RFC 6749 7.1).
    """
    if token.token_type.lower() == "dpop" and isinstance(token.extra.get(DPOP_KEY), str):
        return f"DPoP {token.access_token}"  # and never as a bearer token (RFC 9449 section 7.2)
    if token.token_type.lower() in _NOT_BEARER:
        raise ConfigurationError(f"a token of type {token.token_type!r} cannot be sent as a bearer token")
    return f"{scheme} {token.access_token}".lstrip()


class Placement(NamedTuple):
    """Where the token travels: in which header, and behind which scheme, if any."""

    header: str = HEADER
    scheme: str = "Bearer"

    def value(self, token: Token) -> str:
        """What goes into the header; see `header_value`."""
        return header_value(token, self.scheme)


BEARER = Placement()


def challenges(response: Response) -> Sequence[str]:
    """The values of `WWW-Authenticate`, one for each header."""
    value = response.headers.get("WWW-Authenticate")
    return () if value is None else (value,)


def is_idempotent(request: PreparedRequest) -> bool:
    """Whether the request may be sent twice even where the server may have applied it (RFC 9110 9.2.2)."""
    return (request.method or "").upper() in _IDEMPOTENT


def replay_of(request: PreparedRequest, response: Response, value: str, header: str = HEADER) -> PreparedRequest | None:
    """The very same request with another token and the cookies that the refusal set; None if its body is gone.

    Text and bytes can be sent again, and a file that goes back to where it was; requests notes a position only for what
    can tell one, so a generator has none.
    """
    again = request.copy()
    if not isinstance(request.body, bytes | str | bytearray | memoryview | None):
        try:
            cast(Any, again.body).seek(int(cast(Any, request)._body_position))
        except (OSError, ValueError, AttributeError, TypeError):
            return None
    again.headers[header] = value
    jar = getattr(again, "_cookies", None)
    if "Set-Cookie" in response.headers and jar is not None:
        if again.headers.get("Cookie") == _cookie_header(jar, _without_cookie(request)):
            again.headers.pop("Cookie", None)
        _extract_cookies(jar, request, response.raw)
        again.prepare_cookies(jar)
    return again


def _without_cookie(request: PreparedRequest) -> PreparedRequest:
    bare = request.copy()
    bare.headers.pop("Cookie", None)
    return bare


def drain(response: Response) -> None:
    """Make the connection of a refusal free for the replay: read it if it is short, else close it."""
    if read_body(response) is None:
        vars(response).update(_content=b"", _content_consumed=True)
    response.close()


def read_body(response: Any) -> bytes | None:
    """The body, up to 256 KiB; the caller of the API can still read all of it. None: it is longer, or it broke off."""
    held = response._content
    if not isinstance(held, bool):
        return held if held is not None and len(held) <= BODY_MOST else None
    if response.raw is None or response._content_consumed:
        return None
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and int(length) > BODY_MOST:
        return None
    more: Iterator[bytes] = response.raw.stream(16 * 1024, decode_content=True)
    start, broken = b"", None
    try:
        for part in more:
            start += part
            if len(start) > BODY_MOST:
                break
        else:
            response._content, response._content_consumed = start, True
            return start
    except (RequestException, HTTPError, OSError) as error:
        broken = error
    response.raw = _Rest(start, more, broken, response.raw)
    return None


class _Rest:
    """A raw response whose beginning was read already, for the caller who reads on where we stopped."""

    def __init__(self, start: bytes, more: Iterator[bytes], broken: Exception | None, raw: Any) -> None:
        self._start, self._more, self._broken, self._raw = start, more, broken, raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def read(self, amt: int | None = None, decode_content: bool | None = True) -> bytes:
        """As urllib3's, decoded."""
        while amt is None or len(self._start) < amt:
            part = next(self._more, None)
            if part is None:
                break
            self._start += part
        out, self._start = self._start[:amt], self._start[len(self._start) if amt is None else amt :]
        if self._broken is not None and (amt is None or not out):
            raise self._broken
        return out

    def stream(self, amt: int = 1 << 16, decode_content: bool | None = True) -> Iterator[bytes]:
        """As urllib3's."""
        while part := self.read(amt):
            yield part
