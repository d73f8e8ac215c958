"""`folkmoot chat`: a group on a terminal, what others say above, what I type sent with Enter."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from folkmoot.cli.connect import URL_DEFAULT, As, Caller, DataDir, Token, TokenFile, Url, group_named
from folkmoot.cli.show import as_text

if TYPE_CHECKING:
    from folkmoot.client import Client

SHOWN_AT_START = 20


def chat(
    group: Annotated[str, typer.Argument(help="A group's id or name; none: my only one.")] = "",
    url: Url = URL_DEFAULT,
    token: Token = "",
    token_file: TokenFile = None,
    as_user: As = "",
    data_dir: DataDir = Path("data"),
) -> None:
    """Chat in a group: type a line and press Enter; Ctrl-D leaves."""

    async def work(client: "Client") -> None:
        found = await group_named(client, group)
        page = await client.history(found, limit=SHOWN_AT_START)
        for entry in page.entries:
            typer.echo(as_text(entry))
        listening = asyncio.create_task(_listen(client, found, page.entries[-1].seq if page.entries else 0))
        try:
            await _talk(client, found)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    Caller(url, token, token_file, as_user, data_dir).run(work)


async def _listen(client: "Client", group: str, last: int) -> None:
    async for entry in client:
        if entry.group == group and entry.seq > last:
            typer.echo(as_text(entry))


async def _talk(client: "Client", group: str) -> None:
    from folkmoot.client import SendRefused

    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        text = line.decode("utf-8", "replace").rstrip("\n")
        if not text.strip():
            continue
        try:
            await client.send(group, text)
        except SendRefused as error:
            typer.echo(f"(not sent: {error})", err=True)
