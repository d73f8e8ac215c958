"""`/v1/groups`: make, list, read, rename and delete groups."""

from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request, Response, delete, get, patch, post
from litestar.params import QueryParameter, RawBody

from folkmoot.gateway.rest.described import SENDS, GroupPath, Key, Limit, RequiredKey, told
from folkmoot.gateway.rest.desk import Accepted, desk_of, json_response, read_body
from folkmoot.model import body as bodies
from folkmoot.model import entry as kinds
from folkmoot.model.ids import group_id
from folkmoot.protocol import events as ev


class NewGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`history`: what a newcomer sees, what came since the join or all; `entry` `open`: whoever knows the id may join.

    `members`: up to 1,000 users beside the one who makes it, who is its owner.
    """

    name: str
    members: tuple[str, ...] = ()
    history: Literal["join", "all"] = "join"
    entry: Literal["invite", "open"] = "invite"


class GroupName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A group's new name."""

    name: str


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group as one member sees it. `seq` and `position` are those of its last entry, `join` the member's own."""

    group: str
    name: str
    history: str
    entry: str
    members: int
    role: str
    join: int
    seq: int
    position: str
    messages: int
    read: int
    unread: int


class Groups(msgspec.Struct, frozen=True, kw_only=True):
    """Groups by id. `next` is the `after` of the following page, null where there is none."""

    groups: list[ev.GroupRow]
    next: str | None


_NEW_GROUP: Final = msgspec.json.Decoder(NewGroup)
_GROUP_NAME: Final = msgspec.json.Decoder(GroupName)


@post("/groups", **told("Make a group", takes=NewGroup, gives=Accepted, refuses=(*SENDS, "group_full"), status=201))
async def make_group(request: Request[Any, Any, Any], body: RawBody, key: RequiredKey) -> Response[bytes]:
    """The caller is its owner. The group's id is made of the caller and the key: a retry names the same group."""
    desk = desk_of(request)
    caller = await desk.user(request, "write")
    asked = read_body(body, _NEW_GROUP)
    created = bodies.Created(name=asked.name, history=asked.history, entry=asked.entry, members=asked.members)
    group = group_id(caller.user, key)
    accepted = await desk.ask(caller, group, kinds.CREATED, created, send_id=key, join=0)
    return json_response(accepted, 201)


@get("/groups", **told("List my groups", gives=Groups))
async def list_groups(
    request: Request[Any, Any, Any],
    after: Annotated[str, QueryParameter(description="The `next` of the page before.")] = "",
    limit: Limit = 100,
) -> Response[bytes]:
    """Groups of which the caller is a member, in the order of their ids."""
    desk = desk_of(request)
    caller = await desk.user(request, "read")
    async with desk.gateway.reading:
        groups, following = await desk.queries.groups(caller.user, after=after, limit=limit)
    return json_response(Groups(groups=groups, next=following))


@get("/groups/{group:str}", **told("Read a group", gives=Group, refuses=("no_such_group",)))
async def read_group(request: Request[Any, Any, Any], group: GroupPath) -> Response[bytes]:
    """Its name, its rules, and where the caller stands in it."""
    desk = desk_of(request)
    caller = await desk.user(request, "read")
    async with desk.gateway.reading:
        view, membership = await desk.queries.view(caller.user, group)
        unread = await desk.queries.unread_of(view, membership)
    return json_response(
        Group(
            group=group,
            name=view.name,
            history="all" if view.history_all else "join",
            entry="open" if view.open else "invite",
            members=view.members_count,
            role=membership.role,
            join=membership.join,
            seq=view.head.seq,
            position=str(view.head.position),
            messages=view.head.messages,
            read=view.read,
            unread=unread,
        )
    )


@patch("/groups/{group:str}", **told("Rename a group", takes=GroupName, gives=Accepted, refuses=SENDS))
async def rename_group(
    request: Request[Any, Any, Any], group: GroupPath, body: RawBody, key: Key = None
) -> Response[bytes]:
    """Admins and owners do."""
    desk = desk_of(request)
    caller = await desk.user(request, "write")
    renamed = bodies.Renamed(name=read_body(body, _GROUP_NAME).name)
    return json_response(await desk.ask(caller, group, kinds.RENAMED, renamed, send_id=key))


@delete("/groups/{group:str}", **told("Delete a group", gives=Accepted, refuses=SENDS))
async def delete_group(request: Request[Any, Any, Any], group: GroupPath, key: Key = None) -> Response[bytes]:
    """Owners do. It ends all memberships: from then on the group looks like one that does not exist."""
    desk = desk_of(request)
    caller = await desk.user(request, "write")
    return json_response(await desk.ask(caller, group, kinds.DELETED, bodies.Deleted(), send_id=key))


HANDLERS: Final = (make_group, list_groups, read_group, rename_group, delete_group)
