"""`folkmoot key`: API keys for backends: make one, list them, revoke one."""

import json
from pathlib import Path
from typing import Annotated

import typer

from folkmoot.cli.connect import URL_DEFAULT, WRONG_USE, CaFile, DataDir, Json, Url, fail
from folkmoot.cli.office import ApiKeyText, Office, as_time
from folkmoot.cli.table import show_table

app = typer.Typer(help="API keys for your backends: make, list and revoke them.", no_args_is_help=True)


@app.callback()
def options() -> None:
    """API keys for your backends: make, list and revoke them."""


@app.command()
def create(
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
    url: Url = URL_DEFAULT,
    key: ApiKeyText = "",
    data_dir: DataDir = Path("data"),
    ca_file: CaFile = None,
) -> None:
    """Make a key, and print it: this once, the server keeps only its hash."""
    from folkmoot.ports.accounts import SCOPES

    wrong = [one for one in scope if one not in SCOPES]
    if wrong:
        fail(f"--scope {wrong[0]}: one of {', '.join(SCOPES)}", WRONG_USE)
    body = {"name": name, "scopes": list(scope), "requests_per_s": requests_per_s}
    made = Office(url, key, data_dir, ca_file).ask("POST", "keys", body=body)
    typer.echo(json.dumps(made) if as_json else made["key"])
    if not as_json:
        typer.echo(f"its id is {made['id']}; keep the key now, it is not shown again", err=True)


@app.command("list")
def list_keys(
    as_json: Json = False,
    url: Url = URL_DEFAULT,
    key: ApiKeyText = "",
    data_dir: DataDir = Path("data"),
    ca_file: CaFile = None,
) -> None:
    """List keys, revoked ones too, without their secrets."""
    rows = list(Office(url, key, data_dir, ca_file).pages("keys"))
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
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, not the key.")],
    url: Url = URL_DEFAULT,
    key: ApiKeyText = "",
    data_dir: DataDir = Path("data"),
    ca_file: CaFile = None,
) -> None:
    """End a key for ever, and with it the tokens it had made and the connections that came by them."""
    Office(url, key, data_dir, ca_file).ask("DELETE", "keys", key_id)
    typer.echo(f"{key_id} is revoked")
