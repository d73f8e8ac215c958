"""`folkmoot group`: make groups, list them, and change who is in them."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from folkmoot.cli.connect import (
    Caller,
    Group,
    Json,
    group_named,
)
from folkmoot.cli.options import given
from folkmoot.cli.table import show_table

if TYPE_CHECKING:
    from folkmoot.client import Client
    from folkmoot.protocol.events import GroupRow, MemberRow

app = typer.Typer(help="Make groups, list them, and change who is in them.", no_args_is_help=True)
ROWS = 500

Users = Annotated[list[str], typer.Argument(help="Users.")]
User = Annotated[str, typer.Argument(help="A user.")]


@app.command()
@given(Caller)
def create(
    caller: Caller,
    name: Annotated[str, typer.Argument(help="What it is called.")],
    member: Annotated[list[str] | None, typer.Option("--member", help="A member beside you; may be repeated.")] = None,
    history: Annotated[
        Literal["join", "all"], typer.Option(help="What a newcomer may read: from the join on, or all.")
    ] = "join",
    entry: Annotated[
        Literal["invite", "open"], typer.Option(help="Who may join: the invited, or whoever knows the id.")
    ] = "invite",
    send_id: Annotated[str, typer.Option("--id", help="The request's own id: the same again is the same group.")] = "",
    as_json: Json = False,
) -> None:
    """Make a group, of which you are the owner, and print its id."""

    async def work(client: "Client") -> str:
        return await client.create_group(
            name,
            members=member or [],
            history=history,
            entry=entry,
            send_id=send_id or None,
            timeout_s=30,
        )

    made = caller.run(work)
    typer.echo(json.dumps({"group": made}) if as_json else made)


@app.command("list")
@given(Caller)
def list_groups(
    caller: Caller,
    as_json: Json = False,
) -> None:
    """List your groups: id, name, members, messages, unread."""

    async def work(client: "Client") -> "list[GroupRow]":
        rows, after = [], ""
        while True:
            page = await client.groups(after=after, limit=ROWS)
            rows.extend(page.groups)
            if page.next is None:
                return rows
            after = page.next

    rows = caller.run(work)
    if as_json:
        import msgspec

        for row in rows:
            typer.echo(msgspec.json.encode(row))
        return
    show_table(
        ("group", "name", "role", "members", "messages", "unread"),
        [(r.group, r.name, r.role, r.members, r.messages, r.unread) for r in rows],
    )


@app.command()
@given(Caller)
def members(
    caller: Caller,
    group: Group,
    as_json: Json = False,
) -> None:
    """List a group's members: user, role, since which entry."""

    async def work(client: "Client") -> "list[MemberRow]":
        found = await group_named(client, group)
        rows, after = [], ""
        while True:
            page = await client.members(found, after=after, limit=ROWS)
            rows.extend(page.members)
            if page.next is None:
                return rows
            after = page.next

    rows = caller.run(work)
    if as_json:
        import msgspec

        for row in rows:
            typer.echo(msgspec.json.encode(row))
        return
    show_table(("user", "role", "since"), [(r.user, r.role, r.join) for r in rows])


@app.command()
@given(Caller)
def add(
    caller: Caller,
    group: Group,
    users: Users,
) -> None:
    """Make users members."""
    _change(caller, group, lambda c, g: c.add(g, users))


@app.command()
@given(Caller)
def remove(
    caller: Caller,
    group: Group,
    user: User,
) -> None:
    """Take a member out."""
    _change(caller, group, lambda c, g: c.remove(g, user))


@app.command()
@given(Caller)
def rename(
    caller: Caller,
    group: Group,
    name: Annotated[str, typer.Argument(help="What it is to be called.")],
) -> None:
    """Give a group another name."""
    _change(caller, group, lambda c, g: c.rename(g, name))


@app.command()
@given(Caller)
def role(
    caller: Caller,
    group: Group,
    user: User,
    new_role: Annotated[Literal["owner", "admin", "member"], typer.Argument(help="owner, admin or member.")],
) -> None:
    """Make a member an owner, an admin, or a plain member."""
    _change(caller, group, lambda c, g: c.set_role(g, user, new_role))


@app.command()
@given(Caller)
def leave(
    caller: Caller,
    group: Group,
) -> None:
    """Leave a group."""
    _change(caller, group, lambda c, g: c.leave(g))


@app.command()
@given(Caller)
def delete(
    caller: Caller,
    group: Annotated[str, typer.Argument(help="The group's id, or the start of its name.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """End a group for all its members, for good. Only owners may."""
    if not yes:
        typer.confirm(f"Delete {group} for everyone? It cannot be undone", abort=True)
    _change(caller, group, lambda c, g: c.delete_group(g))


@app.command()
@given(Caller)
def join(
    caller: Caller,
    group: Annotated[str, typer.Argument(help="An open group's id.")],
) -> None:
    """Join an open group."""

    async def work(client: "Client") -> int:
        return await client.join(group)

    typer.echo(caller.run(work))


def _change(caller: Caller, group: str, change: "Callable[[Client, str], Awaitable[int]]") -> None:
    async def work(client: "Client") -> int:
        return await change(client, await group_named(client, group))

    typer.echo(caller.run(work))
