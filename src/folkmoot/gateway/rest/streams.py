"""`/v1/groups/{group}/stream` and `/v1/stream`: live events as Server-Sent Events, from a position on."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, get, post
from litestar.params import HeaderParameter, QueryParameter, RawBody

from folkmoot.gateway.access import Caller
from folkmoot.gateway.rest.described import GroupPath, told
from folkmoot.gateway.rest.desk import Refusal, desk_of, read_body
from folkmoot.gateway.sse import MEDIA_TYPE, StreamAnswer, Streams
from folkmoot.model.ids import GroupId
from folkmoot.model.membership import current, span_after
from folkmoot.model.position import Position, PositionInvalid, parse_position
from folkmoot.protocol import events as ev

RETRY_AFTER_MS: Final = 1_000
REFUSES: Final = ("bad_position", "unsupported_version", "server_draining", "too_many_connections")


class Events(msgspec.Struct, frozen=True):
    """Server-Sent Events: each has the name, and as its data the JSON, of the socket's event; `id` is its position."""


class Following(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Positions by group, "" for none; `others`: the rest of the user's groups too, and those that come later.

    A group without a position begins with a snapshot at its head (`fresh` "head"), or at the user's join ("join").
    """

    groups: dict[str, str] = {}
    others: bool = False
    fresh: str = "head"


_FOLLOWING: Final = msgspec.json.Decoder(Following)


@get(
    "/groups/{group:str}/stream",
    **told("Stream a group's events", gives=Events, refuses=("no_such_group", *REFUSES), media=MEDIA_TYPE),
)
async def stream_group(
    request: Request[Any, Any, Any],
    group: GroupPath,
    position: Annotated[
        str | None,
        HeaderParameter(name="Last-Event-ID", description="The position to go on from: the last `id` received."),
    ] = None,
    fresh: Annotated[
        str,
        QueryParameter(
            pattern="^(head|join)$",
            description="Without a position: a snapshot and what comes then, or everything since the join.",
        ),
    ] = "head",
) -> StreamAnswer:
    """It goes on until the membership ends. Ask again with `Last-Event-ID`: nothing is missed, nothing comes twice."""
    streams, caller = await _opening(request)
    await _check_group(request, caller, group, _position(group, position or ""))
    return streams.answer(caller, ev.Resume(groups={group: position or ""}, fresh=fresh), only=group)


@post("/stream", **told("Stream many groups' events", takes=Following, gives=Events, refuses=REFUSES, media=MEDIA_TYPE))
async def stream_groups(request: Request[Any, Any, Any], body: RawBody) -> StreamAnswer:
    """As `resume` on the socket. Keep each group's position, which its events have, and give all of them next time."""
    streams, caller = await _opening(request)
    asked = read_body(body, _FOLLOWING)
    if asked.fresh not in ("head", "join"):
        raise Refusal("bad_request", "fresh is head or join")
    if not asked.groups and not asked.others:
        raise Refusal("bad_request", "name groups, or ask for the others, which are all then")
    for group, text in asked.groups.items():
        _position(group, text)
    return streams.answer(caller, ev.Resume(groups=asked.groups, others=asked.others, fresh=asked.fresh))


async def _opening(request: Request[Any, Any, Any]) -> tuple[Streams, Caller]:
    """Who asks, where a stream may be opened for them. Raises Refusal, AccessRefused."""
    caller = await desk_of(request).user(request, "read")
    streams: Streams = request.app.state.streams
    code = streams.why_not(str(request.scope["http_version"]))
    if code == "unsupported_version":
        raise Refusal(code, "a stream needs HTTP/1.1, from a proxy too")
    if code:
        raise Refusal(code, retry_after_ms=RETRY_AFTER_MS)
    return streams, caller


async def _check_group(
    request: Request[Any, Any, Any], caller: Caller, group: GroupId, position: Position | None
) -> None:
    """Raise Refusal where the caller has nothing to receive of the group: a reader that comes back is to stop then."""
    desk = desk_of(request)
    async with desk.gateway.reading:
        view = await desk.queries.any_view(caller.user, group)
    if view is not None:
        left = current(view.memberships)
        if position is None and left is not None:
            return
        if position is not None and span_after(view.memberships, position.seq, history_all=view.history_all):
            return
    raise Refusal("no_such_group")


def _position(group: GroupId, text: str) -> Position | None:
    try:
        return parse_position(text) if text else None
    except PositionInvalid as invalid:
        raise Refusal("bad_position", f"of the group {group[:128]}") from invalid


HANDLERS: Final = (stream_group, stream_groups)
