"""What a door leaves on a request: that it has been here, and what follows up; and `NO_AUTH`, which keeps doors out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from requests import PreparedRequest, Response
from requests.auth import AuthBase


class Ours(Protocol):
    """A door's response hook."""

    @property
    def header(self) -> str:
        """Where the token is."""

    def go_on(self, request: PreparedRequest, value: str) -> None:
        """A redirect within the origin."""

    def __call__(self, response: Response, **options: Any) -> Response: ...


class Marked(list[Any]):
    """The user's response hooks, as they see and compare them; who runs them meets ours first.

    It says to the other doors that one has been here, and travels with the request: `PreparedRequest.copy` passes the
    mapping of hooks on.
    """

    def __init__(self, theirs: Iterable[Any], ours: Ours | None = None) -> None:
        super().__init__(theirs)
        self.ours = ours

    @classmethod
    def on(cls, request: PreparedRequest) -> Marked | None:
        """The mark that a door has left on the request."""
        hooks = request.hooks.get("response")
        return hooks if isinstance(hooks, cls) else None

    def __iter__(self) -> Iterator[Any]:
        if self.ours is not None:
            yield self.ours
        yield from super().__iter__()

    def __bool__(self) -> bool:
        return self.ours is not None or len(self) > 0

    def __copy__(self) -> Marked:
        return Marked(super().__iter__(), self.ours)

    def __deepcopy__(self, memo: dict[int, Any]) -> Marked:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(super().__iter__()),)  # a response that is pickled takes its request along, not the login


class _NoAuth(AuthBase):
    """Sends nothing, and keeps `.netrc` and the other doors out too."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.hooks["response"] = Marked(request.hooks["response"])
        return request

    def __repr__(self) -> str:
        return "NO_AUTH"

    def __reduce__(self) -> str:
        return "NO_AUTH"


NO_AUTH = _NoAuth()
"""Give it as `auth=` to send a request without a token."""
