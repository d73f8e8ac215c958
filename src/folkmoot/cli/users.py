"""`folkmoot users`: who is known, and whether they may come in."""

import json
from typing import Annotated, Any

import typer

from folkmoot.cli.connect import Json
from folkmoot.cli.office import Office, as_time
from folkmoot.cli.options import given
from folkmoot.cli.table import show_table

app = typer.Typer(help="Users: look them up, deactivate them, sign them out.", no_args_is_help=True)

User = Annotated[str, typer.Argument(help="A user.")]


@app.callback()
def options() -> None:
    """Users: look them up, deactivate them, sign them out."""


@app.command("list")
@given(Office)
def list_users(
    office: Office,
    as_json: Json = False,
) -> None:
    """List the users of whom something is known: a profile, a sign-out, or that they were deactivated."""
    rows = list(office.pages("users"))
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row))
        return
    show_table(("user", "name", "changed"), [(r["user"], r["name"], as_time(r["changed_ms"])) for r in rows])


@app.command()
@given(Office)
def show(
    office: Office,
    user: User,
    as_json: Json = False,
) -> None:
    """Show a user's profile, and whether they may come in."""
    found = office.ask("GET", "users", user)
    if as_json:
        typer.echo(json.dumps(found))
        return
    rows: dict[str, Any] = {
        "user": found["user"],
        "active": "yes" if found["active"] else "no",
        "name": found["name"],
        "picture": found["picture"],
        "data": json.dumps(found["data"]),
        "changed": as_time(found["changed_ms"]),
    }
    show_table(("", ""), rows.items())


@app.command()
@given(Office)
def deactivate(office: Office, user: User) -> None:
    """Shut a user out: their connections end within a second. Groups, memberships and messages stay."""
    office.ask("PUT", "users", user, "active", body={"active": False})
    typer.echo(f"{user} is deactivated")


@app.command()
@given(Office)
def reactivate(office: Office, user: User) -> None:
    """Let a user in again, with the tokens they have."""
    office.ask("PUT", "users", user, "active", body={"active": True})
    typer.echo(f"{user} is active")


@app.command("sign-out")
@given(Office)
def sign_out(
    office: Office,
    user: User,
    device: Annotated[str, typer.Option(help="This device only; else all.")] = "",
) -> None:
    """End what tokens made until now are good for, and the connections that came by them."""
    office.ask("POST", "users", user, "sign-out", body={"device": device} if device else {})
    typer.echo(f"{user} is signed out" + (f" on {device}" if device else " everywhere"))
