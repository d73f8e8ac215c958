"""`/v1/groups/{group}/members`: who is in a group; add, remove, leave, join, give a role."""

from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request, Response, delete, get, post, put
from litestar.params import QueryParameter, RawBody

from folkmoot.gateway.rest.described import SENDS, GroupPath, Key, Limit, UserPath, told
from folkmoot.gateway.rest.desk import Accepted, desk_of, json_response, read_body
from folkmoot.gateway.rest.profiles import ProfileRow, profile_row
from folkmoot.model import body as bodies
from folkmoot.model import entry as kinds
from folkmoot.protocol import events as ev


class NewMembers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to 1,000 users; who is a member already stays as they are."""

    users: tuple[str, ...]


class Role(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member's new role."""

    role: Literal["owner", "admin", "member"]


class Members(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Members by id. `next` is the `after` of the following page, null where there is none.

    `profiles`, where they are asked for: those of the members on this page who have one.
    """

    members: list[ev.MemberRow]
    next: str | None
    profiles: list[ProfileRow] | msgspec.UnsetType = msgspec.UNSET


_NEW_MEMBERS: Final = msgspec.json.Decoder(NewMembers)
_ROLE: Final = msgspec.json.Decoder(Role)


@get("/groups/{group:str}/members", **told("List a group's members", gives=Members, refuses=("no_such_group",)))
async def list_members(
    request: Request[Any, Any, Any],
    group: GroupPath,
    after: Annotated[str, QueryParameter(description="The `next` of the page before.")] = "",
    limit: Limit = 100,
    profiles: Annotated[bool, QueryParameter(description="How the members are shown, too.")] = False,
) -> Response[bytes]:
    """In the order of their ids, each with their role and the number of their join."""
    desk = desk_of(request)
    caller = await desk.user(request, "read")
    async with desk.gateway.reading:
        members, following = await desk.queries.members(caller.user, group, after=after, limit=limit)
    shown: list[ProfileRow] | msgspec.UnsetType = msgspec.UNSET
    if profiles:
        found = await desk.accounts.profiles([row.user for row in members])
        shown = [profile_row(found[row.user]) for row in members if row.user in found]
    return json_response(Members(members=members, next=following, profiles=shown))


@post(
    "/groups/{group:str}/members",
    **told("Add members", takes=NewMembers, gives=Accepted, refuses=(*SENDS, "already_member", "group_full")),
)
async def add_members(
    request: Request[Any, Any, Any], group: GroupPath, body: RawBody, key: Key = None
) -> Response[bytes]:
    """Admins and owners do."""
    desk = desk_of(request)
    caller = await desk.user(request, "write")
    added = bodies.Added(users=read_body(body, _NEW_MEMBERS).users)
    return json_response(await desk.ask(caller, group, kinds.ADDED, added, send_id=key))


@delete(
    "/groups/{group:str}/members/{user:str}",
    **told("Remove a member, or leave", gives=Accepted, refuses=(*SENDS, "not_a_member", "last_owner")),
)
async def remove_member(
    request: Request[Any, Any, Any], group: GroupPath, user: UserPath, key: Key = None
) -> Response[bytes]:
    """Oneself: leave. Others: admins and owners do; only owners remove admins and owners."""
    desk = desk_of(request)
    caller = await desk.user(request, "write")
    if user == caller.user:
        accepted = await desk.ask(caller, group, kinds.LEFT, bodies.Left(), send_id=key)
    else:
        accepted = await desk.ask(caller, group, kinds.REMOVED, bodies.Removed(user=user), send_id=key)
    return json_response(accepted)


@put(
    "/groups/{group:str}/members/{user:str}/role",
    **told("Give a role", takes=Role, gives=Accepted, refuses=(*SENDS, "not_a_member", "last_owner")),
)
async def give_role(
    request: Request[Any, Any, Any], group: GroupPath, user: UserPath, body: RawBody, key: Key = None
) -> Response[bytes]:
    """Owners do."""
    desk = desk_of(request)
    caller = await desk.user(request, "write")
    changed = bodies.RoleChanged(user=user, role=read_body(body, _ROLE).role)
    return json_response(await desk.ask(caller, group, kinds.ROLE, changed, send_id=key))


@post("/groups/{group:str}/join", **told("Join an open group", gives=Accepted, refuses=(*SENDS, "already_member")))
async def join_group(request: Request[Any, Any, Any], group: GroupPath, key: Key = None) -> Response[bytes]:
    """Whoever knows the id of an open group may. A closed one looks like one that does not exist."""
    desk = desk_of(request)
    caller = await desk.user(request, "write")
    return json_response(await desk.ask(caller, group, kinds.JOINED, bodies.Joined(), send_id=key, join=0))


HANDLERS: Final = (list_members, add_members, remove_member, give_role, join_group)
