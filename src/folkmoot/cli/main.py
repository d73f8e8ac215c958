"""The `folkmoot` command: its verbs, and the exit statuses they share.

0: done. 1: refused, or not clean. 2: the command line or a setting is wrong. 3: the server cannot be reached.
"""

import sys
from typing import Annotated

import typer

from folkmoot import __version__
from folkmoot.cli import (
    backup,
    bench,
    chat,
    check,
    cluster,
    config,
    copy,
    doctor,
    group,
    history,
    key,
    migrate,
    plan,
    replay,
    restore,
    secret,
    send,
    serve,
    tail,
    token,
    users,
    verify,
)

app = typer.Typer(
    name="folkmoot",
    help="Group messaging in which every acknowledged message reaches every member once, in order.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(group.app, name="group")
app.add_typer(users.app, name="users")
app.add_typer(key.app, name="key")
app.add_typer(config.app, name="config")
app.add_typer(check.app, name="check")
app.add_typer(bench.app, name="bench")
app.add_typer(cluster.app, name="cluster")
app.add_typer(secret.app, name="secret")
VERBS = (
    serve.serve,
    token.token,
    send.send,
    tail.tail,
    chat.chat,
    history.history,
    backup.backup,
    restore.restore,
    copy.copy,
    migrate.migrate,
    plan.plan,
    verify.verify,
    doctor.doctor,
    replay.replay,
)
for verb in VERBS:
    app.command()(verb)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"folkmoot {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """Group messaging in which every acknowledged message reaches every member once, in order."""


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
