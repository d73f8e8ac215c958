"""`/v1/chats`: my groups by their last activity, each with its last entry and what is unread."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.params import QueryParameter

from folkmoot.gateway.rest.described import told
from folkmoot.gateway.rest.desk import desk_of, json_response
from folkmoot.protocol.codec import entry_row
from folkmoot.protocol.events import EntryRow

CHATS_MAX: Final = 100


class ChatRow(msgspec.Struct, frozen=True, kw_only=True):
    """A group, where the caller stands in it, and its last entry."""

    group: str
    name: str
    role: str
    join: int
    members: int
    seq: int
    messages: int
    read: int
    unread: int
    last: EntryRow


class ChatPage(msgspec.Struct, frozen=True, kw_only=True):
    """Chats, the newest entry first. `next` is the `cursor` of the following page, null where there is none."""

    chats: list[ChatRow]
    next: str | None


@get("/chats", **told("List my chats", gives=ChatPage, refuses=("bad_cursor",)))
async def list_chats(
    request: Request[Any, Any, Any],
    cursor: Annotated[str, QueryParameter(description="The `next` of the page before.")] = "",
    limit: Annotated[int, QueryParameter(ge=1, le=CHATS_MAX, description="How many at most.")] = 50,
) -> Response[bytes]:
    """Groups of which the caller is a member, by last activity. Computed now, from the groups' own last entries."""
    desk = desk_of(request)
    caller = await desk.user(request, "read")
    async with desk.gateway.reading:
        chats, following = await desk.chats.page(caller.user, cursor=cursor, limit=limit)
    rows = [
        ChatRow(
            group=chat.group.group,
            name=chat.group.name,
            role=chat.group.role,
            join=chat.group.join,
            members=chat.group.members,
            seq=chat.group.seq,
            messages=chat.group.messages,
            read=chat.read,
            unread=chat.group.unread,
            last=entry_row(chat.last),
        )
        for chat in chats
    ]
    return json_response(ChatPage(chats=rows, next=following))


HANDLERS: Final = (list_chats,)
