"""`folkmoot tail`: entries as they come, from the head, the join, a number or a position."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from folkmoot.cli.connect import (
    WRONG_USE,
    Caller,
    Json,
    fail,
    group_named,
)
from folkmoot.cli.options import given
from folkmoot.cli.show import as_json as to_json
from folkmoot.cli.show import as_text, event_text

if TYPE_CHECKING:
    from folkmoot.client import Client, ClientStore, GroupEvent, Received

_WORDS: dict[str, Literal["head", "join"]] = {"head": "head", "join": "join", "start": "join"}
ROWS = 500
PAGE = 100


@given(Caller)
def tail(
    caller: Caller,
    group: Annotated[str, typer.Argument(help="A group's id or name; none: all of mine.")] = "",
    since: Annotated[
        str, typer.Option("--from", metavar="WHERE", help="head, start (my join), a seq, or a position of --json.")
    ] = "head",
    count: Annotated[int, typer.Option("--count", min=0, help="End after so many; 0: never.")] = 0,
    as_json: Json = False,
) -> None:
    """Show entries as they come, until Ctrl-C."""
    after = int(since) if since.isdecimal() and since.isascii() else None
    is_position = since not in _WORDS and after is None
    if (is_position or after is not None) and not group:
        fail("--from a seq or a position needs a group", WRONG_USE)
    store = _store_at(group, since) if is_position else None

    async def work(client: "Client") -> None:
        # A position is of a group that goes by its id: by its name one would not know it before asking.
        wanted = group if is_position else await group_named(client, group) if group else ""
        names = {} if group else await _names(client)

        def told(event: "GroupEvent") -> None:
            if (text := event_text(event)) and (not wanted or event.group == wanted):
                typer.echo(text, err=True)

        client.on_event = told
        left = count or -1
        async for entry in _entries(client, wanted, after):
            typer.echo(to_json(entry) if as_json else as_text(entry, names=None if group else names))
            left -= 1
            if not left:
                return

    caller.run(work, fresh=_WORDS.get(since, "head"), store=store)


async def _entries(client: "Client", group: str, after: int | None) -> "AsyncIterator[Received]":
    """History after a seq first, up to what is there now; then what comes, without what was already given."""
    while after is not None:
        page = await client.history(group, after=after, limit=PAGE)
        for entry in page.entries:
            after = entry.seq
            yield entry
        if not page.more:
            break
    async for entry in client:
        if (not group or entry.group == group) and (after is None or entry.seq > after):
            yield entry


def _store_at(group: str, position: str) -> "ClientStore":
    """What a client has kept that has come this far: the server says whether the position holds."""
    from folkmoot.client import MemoryClientStore
    from folkmoot.client.kept import Kept, KeptPlace
    from folkmoot.model.position import PositionInvalid, parse_position

    try:
        seq = parse_position(position).seq
    except PositionInvalid:
        fail("--from takes head, start, a seq or a position", WRONG_USE)
    return MemoryClientStore(Kept(places={group: KeptPlace(position=position, seq=seq)}))


async def _names(client: "Client") -> dict[str, str]:
    names: dict[str, str] = {}
    after: str | None = ""
    while after is not None:
        page = await client.groups(after=after, limit=ROWS)
        names |= {row.group: row.name for row in page.groups}
        after = page.next
    return names
