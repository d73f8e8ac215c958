"""`folkmoot check`: whether the promise is kept, by faults that anyone can repeat."""

import typer

from folkmoot.cli import check_live

app = typer.Typer(help="Check the promise: every acknowledged entry to every member, once, in order, under faults.")
app.command()(check_live.live)


@app.callback()
def options() -> None:
    """Check the promise: every acknowledged entry to every member, once, in order, under faults."""
