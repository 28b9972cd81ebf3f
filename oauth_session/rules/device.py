"""The device grant (RFC 8628): reading the code that the person is shown, and when to poll."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from ..errors import LoginFailed
from .token_response import DenialKind, Denied, Granted

INTERVAL = 5.0  # seconds between polls unless the server says otherwise (section 3.2)
SLOWER = 5.0  # added by each slow_down, for good (section 3.5)
INTERVAL_MOST = 60.0
LIFETIME_MOST = 3600.0


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """What the person has to see (RFC 8628 section 3.2).

    Attributes:
        device_code: the secret that is polled with.
        user_code: to be typed in at `verification_uri`.
        verification_uri: where the person goes, on another device.
        verification_uri_complete: the same place with the code filled in, for a QR code, if the server has one.
        expires_in: seconds that the code is good for.
        interval: seconds between polls, as the server wants it.
    """

    device_code: str = field(repr=False)
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None
    expires_in: float
    interval: float


def read_device_code(status: int, body: bytes) -> DeviceCode | None:
    """The server's answer; None when it is no success."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not 200 <= status < 300 or not isinstance(data, dict):
        return None
    uri = data.get("verification_uri") or data.get("verification_url")  # Google's name for it
    texts = (data.get("device_code"), data.get("user_code"), uri)
    if not all(isinstance(text, str) and text for text in texts):
        return None
    complete = data.get("verification_uri_complete")
    return DeviceCode(
        device_code=data["device_code"],
        user_code=data["user_code"],
        verification_uri=str(uri),
        verification_uri_complete=complete if isinstance(complete, str) and complete else None,
        expires_in=_seconds(data.get("expires_in"), LIFETIME_MOST, LIFETIME_MOST),
        interval=_seconds(data.get("interval"), INTERVAL, INTERVAL_MOST),
    )


class Polling:
    """When to ask next, and when to stop (section 3.5); `interval` only grows.

    Raises:
        LoginFailed: from `heard` and `wait`, when it is over without a token.
    """

    def __init__(self, code: DeviceCode) -> None:
        self.interval, self.left = code.interval, code.expires_in

    def wait(self, elapsed: float) -> float:
        """Seconds to wait before the next poll, `elapsed` seconds after the code was given."""
        if elapsed + self.interval > self.left:
            raise LoginFailed(
                "the code has expired before it was entered: begin the login again", error="expired_token"
            )
        return self.interval

    def heard(self, answer: Granted | Denied | None) -> Granted | None:
        """What a poll brought; None: the connection failed, so ask less often (exponentially, as the section suggests)."""
        if answer is None:
            self.interval = min(self.interval * 2, INTERVAL_MOST)
            return None
        if isinstance(answer, Granted):
            return answer
        if answer.error == "authorization_pending":
            return None
        if answer.error == "slow_down":
            self.interval += SLOWER
            return None
        if answer.kind is DenialKind.TRANSIENT:
            self.interval = max(min(self.interval * 2, INTERVAL_MOST), answer.retry_after or 0.0)
            return None
        error = answer.error or f"HTTP {answer.status}"
        says = {
            "access_denied": "the login was refused: consent was denied",
            "expired_token": "the code has expired before it was entered: begin the login again",
        }.get(error, "the login was refused")
        raise LoginFailed(f"{says} [{error}]", error=answer.error, error_description=answer.description)


def _seconds(value: object, default: float, most: float) -> float:
    if isinstance(value, str) and value.isdigit() and len(value) < 10:
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return default
    return min(float(value), most)
