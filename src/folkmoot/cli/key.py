"""`folkmoot key`: API keys for backends: make one, list them, revoke one."""

import json
from typing import Annotated

import typer

from folkmoot.cli.connect import WRONG_USE, Json, fail
from folkmoot.cli.office import Office, as_time
from folkmoot.cli.options import given
from folkmoot.cli.table import show_table

app = typer.Typer(help="API keys for your backends: make, list and revoke them.", no_args_is_help=True)


@app.callback()
def options() -> None:
    """API keys for your backends: make, list and revoke them."""


@app.command()
@given(Office)
def create(
    office: Office,
    name: Annotated[str, typer.Argument(help="What it is for: shown in lists.")],
    scope: Annotated[
        list[str],
        typer.Option(
            "--scope",
            help="What it may do: read and write (as any user), users, tokens, metrics, keys; may be repeated.",
        ),
    ],
    requests_per_s: Annotated[
        float, typer.Option("--requests-per-s", min=0.01, help="How often it may ask; twice as often for a moment.")
    ] = 100.0,
    as_json: Json = False,
) -> None:
    """Make a key, and print it: this once, the server keeps only its hash."""
    from folkmoot.ports.accounts import SCOPES

    wrong = [one for one in scope if one not in SCOPES]
    if wrong:
        fail(f"--scope {wrong[0]}: one of {', '.join(SCOPES)}", WRONG_USE)
    body = {"name": name, "scopes": list(scope), "requests_per_s": requests_per_s}
    made = office.ask("POST", "keys", body=body)
    typer.echo(json.dumps(made) if as_json else made["key"])
    if not as_json:
        typer.echo(f"its id is {made['id']}; keep the key now, it is not shown again", err=True)


@app.command("list")
@given(Office)
def list_keys(
    office: Office,
    as_json: Json = False,
) -> None:
    """List keys, revoked ones too, without their secrets."""
    rows = list(office.pages("keys"))
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row))
        return
    show_table(
        ("id", "name", "scopes", "a second", "made", "revoked"),
        [
            (
                row["id"],
                row["name"],
                " ".join(row["scopes"]),
                f"{row['requests_per_s']:g}",
                as_time(row["created_ms"]),
                as_time(row["revoked_ms"]),
            )
            for row in rows
        ],
    )


@app.command()
@given(Office)
def revoke(
    office: Office,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, not the key.")],
) -> None:
    """End a key for ever, and with it the tokens it had made and the connections that came by them."""
    office.ask("DELETE", "keys", key_id)
    typer.echo(f"{key_id} is revoked")
