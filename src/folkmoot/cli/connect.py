"""What verbs that talk to a server share: where it is, who asks, and what an error looks like."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from folkmoot.client import Client, ClientError, ClientStore

T = TypeVar("T")

URL_DEFAULT = "http://127.0.0.1:8420"
CONNECT_S_MAX = 5.0
"""Longer than a server takes to start again, and no longer than one likes to wait for an error."""

NOT_DONE, WRONG_USE, NO_SERVER = 1, 2, 3

Url = Annotated[str, typer.Option("--url", envvar="FOLKMOOT_URL", help="The server.")]
Token = Annotated[str, typer.Option("--token", envvar="FOLKMOOT_TOKEN", help="A token.", show_default=False)]
TokenFile = Annotated[Path | None, typer.Option("--token-file", envvar="FOLKMOOT_TOKEN_FILE", help="A file with one.")]
As = Annotated[str, typer.Option("--as", help="A user, by the secret in --data-dir: for trying out, on the server.")]
CaFile = Annotated[
    Path | None,
    typer.Option("--ca-file", envvar="FOLKMOOT_CA_FILE", help="The authority of its certificate."),
]
DataDir = Annotated[
    Path, typer.Option("--data-dir", "--data", envvar="FOLKMOOT_DATA_DIR", help="The server's data directory.")
]
Json = Annotated[bool, typer.Option("--json", help="JSON, for scripts.")]
Group = Annotated[str, typer.Argument(help="A group's id, or its name where one of mine has it.")]


class Caller:
    """Where to connect, and as whom: what the options of a verb (`given`) came to."""

    def __init__(
        self,
        url: Url = URL_DEFAULT,
        ca_file: CaFile = None,
        token: Token = "",
        token_file: TokenFile = None,
        as_user: As = "",
        data_dir: DataDir = Path("data"),
    ) -> None:
        from folkmoot.client.link import connecting, socket_url

        try:
            socket_url(url)
            self._link = connecting(ca_file or "")
        except ValueError as error:
            fail(str(error), WRONG_USE)
        self.url = url
        self._token = _token(token, token_file, as_user, data_dir)

    def run(
        self,
        work: "Callable[[Client], Awaitable[T]]",
        *,
        fresh: Literal["head", "join"] = "head",
        store: "ClientStore | None" = None,
    ) -> T:
        """Connect, do `work`, and take leave; errors end the command with one line and a status."""
        from folkmoot.client import Client, ClientError, ConnectionEnded, NotConnected, SendUnknown
        from folkmoot.protocol.errors import CODES

        async def body() -> T:
            link, limit_s = self._link, CONNECT_S_MAX
            async with Client(
                self.url, self._token, fresh=fresh, store=store, connect_s_max=limit_s, link=link
            ) as client:
                return await work(client)

        try:
            return asyncio.run(body())
        except NotConnected as error:
            fail(f"cannot reach {self.url}: {error.__cause__ or error}", NO_SERVER)
        except SendUnknown as error:
            fail(f"{said(error)} (it may have happened: the same again with --id {error.send_id} is safe)")
        except ConnectionEnded as error:
            meaning = CODES[error.code].meaning if error.code in CODES else error.detail
            fail(f"{self.url} ended the connection: {error.code}: {meaning}")
        except ClientError as error:
            fail(said(error))


def said(error: "ClientError") -> str:
    """A client's error in one line: its code and, where nothing more is known, what the code means."""
    from folkmoot.protocol.errors import CODES

    code, detail = getattr(error, "code", ""), getattr(error, "detail", "")
    meaning = CODES[code].meaning if code in CODES else ""
    return f"{code}: {detail or meaning}" if code and (detail or meaning) else str(error)


def fail(message: str, status: int = NOT_DONE) -> NoReturn:
    """Say what is wrong in one line and end with `status`."""
    typer.echo(f"folkmoot: {message}", err=True)
    raise typer.Exit(status)


def secret_of_running(secret_file: Path | None, data_dir: Path) -> bytes:
    """A running server's secret: never made here. Raises OSError, SecretUnsafe."""
    from folkmoot.gateway.identity import SECRET_FILE, SecretUnsafe, secret_of

    path = secret_file or data_dir / SECRET_FILE
    if not path.exists():
        fail(f"{path} is not there: it is the secret that the server at --url signs tokens with", WRONG_USE)
    if secret_file is not None:
        return secret_file.read_bytes().strip()
    try:
        return secret_of(data_dir)
    except SecretUnsafe as error:
        fail(str(error), WRONG_USE)


async def group_named(client: "Client", name: str) -> str:
    """The id of the group with this id or name, among mine; the only one I have where `name` is empty.

    Whoever is connected knows the ids of all groups: only a name has to be asked for.
    """
    if name and client.position(name) is not None:
        return name
    after, found = "", []
    while True:
        page = await client.groups(after=after, limit=500)
        found.extend(page.groups)
        if page.next is None:
            break
        after = page.next
    matching = [row.group for row in found if not name or name in (row.group, row.name)]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        fail(f"no group {name!r} among yours" if name else "you are in no group: folkmoot group create NAME")
    fail(f"{len(matching)} of your groups fit: give an id (folkmoot group list)")


def _token(token: str, token_file: Path | None, as_user: str, data_dir: Path) -> str:
    if as_user:
        from folkmoot.gateway.identity import SECRET_FILE, SecretUnsafe, mint, secret_of

        if not (data_dir / SECRET_FILE).exists():
            fail(f"--as needs the server's secret, and {data_dir} has none: is it the server's --data-dir?", WRONG_USE)
        try:
            return mint(secret_of(data_dir), as_user, lifetime_s=86_400, now_ms=time.time_ns() // 1_000_000)
        except (OSError, SecretUnsafe) as error:
            fail(str(error), WRONG_USE)
    if token:
        return token
    if token_file is not None:
        try:
            return token_file.read_text().strip()
        except OSError as error:
            fail(f"{token_file}: {os.strerror(error.errno or 0)}", WRONG_USE)
    fail("who are you? Set FOLKMOOT_TOKEN (folkmoot token USER makes one), or give --token-file or --as", WRONG_USE)
