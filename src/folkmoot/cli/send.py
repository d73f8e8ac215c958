"""`folkmoot send`: one message, and its number."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from folkmoot.cli.connect import (
    URL_DEFAULT,
    As,
    CaFile,
    Caller,
    DataDir,
    Group,
    Json,
    Token,
    TokenFile,
    Url,
    group_named,
)

if TYPE_CHECKING:
    from folkmoot.client import Client


def send(
    group: Group,
    text: Annotated[str, typer.Argument(help="What to say.")],
    send_id: Annotated[str, typer.Option("--id", help="The send's own id: the same again is the same message.")] = "",
    as_json: Json = False,
    url: Url = URL_DEFAULT,
    ca_file: CaFile = None,
    token: Token = "",
    token_file: TokenFile = None,
    as_user: As = "",
    data_dir: DataDir = Path("data"),
) -> None:
    """Send a message, and say its number once it is stored for good."""

    async def work(client: "Client") -> tuple[str, int]:
        found = await group_named(client, group)
        return found, await client.send(found, text, send_id=send_id or None, timeout_s=30)

    found, seq = Caller(url, token, token_file, as_user, data_dir, ca_file).run(work)
    typer.echo(json.dumps({"group": found, "seq": seq}) if as_json else str(seq))
