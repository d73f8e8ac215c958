"""`/v1/groups/{group}/entries`: a group's history, by pages, by date and one by one."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.params import PathParameter, QueryParameter

from folkmoot.gateway.queries import History
from folkmoot.gateway.rest.described import GroupPath, told
from folkmoot.gateway.rest.desk import JsonResponse, Refusal, desk_of, json_response
from folkmoot.protocol.codec import entry_row
from folkmoot.protocol.events import EntryRow
from folkmoot.protocol.limits import PAGE_ENTRIES_MAX


class Entries(msgspec.Struct, frozen=True, kw_only=True):
    """Entries in rising order. `more`: there are others in the direction asked for; `head`: the group's last number."""

    entries: list[EntryRow]
    more: bool
    head: int


_SEQ_MAX: Final = 2**63 - 1


def page_response(found: History) -> JsonResponse:
    """A page as it is answered."""
    return json_response(Entries(entries=[entry_row(e) for e in found.entries], more=found.more, head=found.head))


@get("/groups/{group:str}/entries", **told("Page through a group's history", gives=Entries, refuses=("no_such_group",)))
async def list_entries(
    request: Request[Any, Any, Any],
    group: GroupPath,
    after: Annotated[
        int | None, QueryParameter(ge=0, le=_SEQ_MAX, description="Forwards: the entries that follow this number.")
    ] = None,
    before: Annotated[
        int | None, QueryParameter(ge=0, le=_SEQ_MAX, description="Backwards: the entries before this number.")
    ] = None,
    at: Annotated[
        int | None,
        QueryParameter(
            ge=0, le=_SEQ_MAX, description="Forwards from a date, in milliseconds since 1970: by the server's clock."
        ),
    ] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_ENTRIES_MAX, description="How many at most.")] = 50,
) -> Response[bytes]:
    """One of `after`, `before` and `at`; none of them: the last entries. Only what the caller's memberships cover."""
    desk = desk_of(request)
    caller = await desk.user(request, "read")
    if sum(bound is not None for bound in (after, before, at)) > 1:
        raise Refusal("bad_request", "one of after, before and at")
    async with desk.gateway.reading:
        if at is not None:
            after = await desk.queries.seq_at(caller.user, group, at) - 1
        found = await desk.queries.history(caller.user, group, after=after, before=before, limit=limit)
    return page_response(found)


@get(
    "/groups/{group:str}/entries/{seq:int}",
    **told("Read one entry", gives=EntryRow, refuses=("no_such_group", "no_such_entry")),
)
async def read_entry(
    request: Request[Any, Any, Any],
    group: GroupPath,
    seq: Annotated[int, PathParameter(description="The number of an entry.")],
) -> Response[bytes]:
    """A group and a number name one entry for ever."""
    desk = desk_of(request)
    caller = await desk.user(request, "read")
    async with desk.gateway.reading:
        return json_response(entry_row(await desk.queries.entry(caller.user, group, seq)))


HANDLERS: Final = (list_entries, read_entry)
