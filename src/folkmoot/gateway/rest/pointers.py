"""`/v1/groups/{group}/read`: how far one has read a group, and how much is unread."""

from typing import Any, Final

import msgspec
from litestar import Request, Response, get, put
from litestar.params import RawBody

from folkmoot.gateway.rest.described import GroupPath, told
from folkmoot.gateway.rest.desk import Refusal, desk_of, json_response, read_body


class ReadTo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The number up to and with which everything is read."""

    seq: int


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """The caller has read up to `read`, and `unread` messages come after it."""

    group: str
    read: int
    unread: int


_READ_TO: Final = msgspec.json.Decoder(ReadTo)


@get("/groups/{group:str}/read", **told("Read my read pointer", gives=Pointer, refuses=("no_such_group",)))
async def read_pointer(request: Request[Any, Any, Any], group: GroupPath) -> Response[bytes]:
    """How far the caller has read, and how many messages are unread."""
    desk = desk_of(request)
    caller = await desk.user(request, "read")
    async with desk.gateway.reading:
        view, membership = await desk.queries.view(caller.user, group)
        unread = await desk.queries.unread_of(view, membership)
    return json_response(Pointer(group=group, read=view.read, unread=unread))


@put(
    "/groups/{group:str}/read", **told("Move my read pointer", takes=ReadTo, gives=Pointer, refuses=("no_such_group",))
)
async def move_pointer(request: Request[Any, Any, Any], group: GroupPath, body: RawBody) -> Response[bytes]:
    """It never goes back: the answer says where it stands. Kept within a second; all of the user's devices are told."""
    desk = desk_of(request)
    caller = await desk.user(request, "write")
    seq = read_body(body, _READ_TO).seq
    async with desk.gateway.reading:
        view, membership = await desk.queries.view(caller.user, group)
        if not 0 <= seq <= view.head.seq:
            raise Refusal("bad_request", "no such entry yet")
        if seq > view.read:
            desk.gateway.pointers.move(caller.user, group, view.head.epoch, seq)
            view = msgspec.structs.replace(view, read=seq)
        unread = await desk.queries.unread_of(view, membership)
    return json_response(Pointer(group=group, read=view.read, unread=unread))


HANDLERS: Final = (read_pointer, move_pointer)
