"""`folkmoot check`: whether the promise is kept, by faults that anyone can repeat."""

import typer

from folkmoot.cli import check_heal, check_live, check_simulate

app = typer.Typer(help="Check the promise: every acknowledged entry to every member, once, in order, under faults.")
app.command()(check_live.live)
app.command()(check_heal.heal)
app.command()(check_simulate.simulate)


@app.callback()
def options() -> None:
    """Check the promise: every acknowledged entry to every member, once, in order, under faults."""
