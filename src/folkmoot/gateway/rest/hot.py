"""In front of the application: a user's pages of history, plainly asked for, without the general case's work.

What is not as plain as that, and whatever is refused, goes on to the application, which does all of it, from the start.
"""

import re
from typing import Final

from litestar.types import ASGIApp, Receive, Scope, Send

from folkmoot.gateway.access import KEY_PREFIX, AccessRefused, require, require_user
from folkmoot.gateway.queries import QueryRefused
from folkmoot.gateway.rest.desk import Desk, Refusal
from folkmoot.gateway.rest.entries import page_response
from folkmoot.ports.store import StoreAway

_PATH: Final = re.compile(r"/v1/groups/([^/]+)/entries")
_QUERY: Final = re.compile(rb"(?:(after|before)=(\d{1,18})&?)?(?:limit=([1-9]\d{0,2}))?")
LIMIT: Final = 50
"""Of a page where nobody says: as in the call's own description."""

_UNUSUAL: Final = frozenset((b"origin", b"folkmoot-user"))
"""Headers that change who asks, or what the answer has to say."""


class Hot:
    """An ASGI application around `app`. A call that it has charged a rate for is not charged again there."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not await self._served(scope, receive, send):
            await self._app(scope, receive, send)

    async def _served(self, scope: Scope, receive: Receive, send: Send) -> bool:
        # No other type of scope comes by this port: its WebSockets never reach an application.
        path = _PATH.fullmatch(scope["path"]) if scope.get("method") == "GET" else None
        query = path and _QUERY.fullmatch(scope["query_string"])
        if path is None or not query or (authorization := _plain_token(scope)) is None:
            return False
        bound, at, limit = query.groups()
        desk = self._desk
        try:
            caller = await desk.access.of_request(authorization, None)
            desk.charge(scope, caller)
            require(caller, "read")
            user = require_user(caller)
            after, before = (int(at), None) if bound == b"after" else (None, None if at is None else int(at))
            async with desk.gateway.reading:
                found = await desk.queries.history(
                    user, path[1], after=after, before=before, limit=LIMIT if limit is None else int(limit)
                )
        except (AccessRefused, Refusal, QueryRefused, StoreAway):
            return False
        await page_response(found)(scope, receive, send)
        return True


def _plain_token(scope: Scope) -> str | None:
    """The header of a user's own token; None where it is anything else, or another header makes the call unusual."""
    found: bytes | None = None
    for name, value in scope["headers"]:
        if name in _UNUSUAL:
            return None
        if name == b"authorization":
            if found is not None:
                return None
            found = value
    text = b"" if found is None else found
    return text.decode("latin-1") if text[:7].lower() == b"bearer " and not text.startswith(_KEY, 7) else None


_KEY: Final = KEY_PREFIX.encode()
