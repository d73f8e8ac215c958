"""`folkmoot send`: one message, and its number."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from folkmoot.cli.connect import (
    Caller,
    Group,
    Json,
    group_named,
)
from folkmoot.cli.options import given

if TYPE_CHECKING:
    from folkmoot.client import Client


@given(Caller)
def send(
    caller: Caller,
    group: Group,
    text: Annotated[str, typer.Argument(help="What to say.")],
    send_id: Annotated[str, typer.Option("--id", help="The send's own id: the same again is the same message.")] = "",
    as_json: Json = False,
) -> None:
    """Send a message, and say its number once it is stored for good."""

    async def work(client: "Client") -> tuple[str, int]:
        found = await group_named(client, group)
        return found, await client.send(found, text, send_id=send_id or None, timeout_s=30)

    found, seq = caller.run(work)
    typer.echo(json.dumps({"group": found, "seq": seq}) if as_json else str(seq))
