"""`folkmoot tail`: entries as they come, from the head, the join or a position."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from folkmoot.cli.connect import (
    URL_DEFAULT,
    WRONG_USE,
    As,
    Caller,
    DataDir,
    Json,
    Token,
    TokenFile,
    Url,
    fail,
    group_named,
)
from folkmoot.cli.show import as_json as to_json
from folkmoot.cli.show import as_text

if TYPE_CHECKING:
    from folkmoot.client import Client


def tail(
    group: Annotated[str, typer.Argument(help="A group's id or name; none: all of mine.")] = "",
    since: Annotated[str, typer.Option("--from", help="head, join, or a seq after which to begin.")] = "head",
    count: Annotated[int, typer.Option("--count", min=0, help="End after so many; 0: never.")] = 0,
    as_json: Json = False,
    url: Url = URL_DEFAULT,
    token: Token = "",
    token_file: TokenFile = None,
    as_user: As = "",
    data_dir: DataDir = Path("data"),
) -> None:
    """Show entries as they come, until Ctrl-C."""
    after = int(since) if since.isdigit() else None
    if after is None and since not in ("head", "join"):
        fail("--from takes head, join or a seq", WRONG_USE)
    if after is not None and not group:
        fail("--from a seq needs a group", WRONG_USE)

    async def work(client: "Client") -> None:
        wanted = await group_named(client, group) if group else ""
        shown, last = 0, after
        # History first, up to what is there now; then what comes, without what was already shown.
        while last is not None:
            page = await client.history(wanted, after=last, limit=100)
            for entry in page.entries:
                typer.echo(to_json(entry) if as_json else as_text(entry))
                last, shown = entry.seq, shown + 1
                if shown == count:
                    return
            if not page.more:
                break
        async for entry in client:
            if (wanted and entry.group != wanted) or (last is not None and entry.seq <= last):
                continue
            typer.echo(to_json(entry) if as_json else as_text(entry))
            shown += 1
            if shown == count:
                return

    Caller(url, token, token_file, as_user, data_dir).run(work, fresh=since)
