"""`folkmoot history`: a page of a group's log."""

from typing import TYPE_CHECKING, Annotated

import typer

from folkmoot.cli.connect import (
    Caller,
    Group,
    Json,
    group_named,
)
from folkmoot.cli.options import given
from folkmoot.cli.show import as_json as to_json
from folkmoot.cli.show import as_text

if TYPE_CHECKING:
    from folkmoot.client import Client
    from folkmoot.client.client import HistoryPage

PAGE = 100


@given(Caller)
def history(
    caller: Caller,
    group: Group,
    after: Annotated[int | None, typer.Option(min=0, help="Forwards, after this seq.")] = None,
    before: Annotated[int | None, typer.Option(min=1, help="Backwards, before this seq.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many entries.")] = 50,
    as_json: Json = False,
) -> None:
    """Show the end of a group's log, or a stretch of it, in rising order."""

    async def work(client: "Client") -> "list[HistoryPage]":
        found = await group_named(client, group)
        pages: list[HistoryPage] = []
        left, low, high = limit, after, before
        while left > 0:
            page = await client.history(found, after=low, before=high, limit=min(left, PAGE))
            pages.append(page)
            left -= len(page.entries)
            if not page.more or not page.entries:
                break
            if low is not None:
                low = page.entries[-1].seq
            else:
                high = page.entries[0].seq
        return pages if after is not None else pages[::-1]

    for page in caller.run(work):
        for entry in page.entries:
            typer.echo(to_json(entry) if as_json else as_text(entry))
