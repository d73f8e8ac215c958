"""`folkmoot cluster`: a real cluster on this machine, for trying out and for tests."""

import typer

from folkmoot.cli.connect import NOT_DONE, fail

app = typer.Typer(help="A real cluster on this machine, for trying out and for tests.", no_args_is_help=True)


@app.callback()
def options() -> None:
    """A real cluster on this machine, for trying out and for tests."""


@app.command()
def fetch() -> None:
    """Fetch Cassandra with Maven, once for this machine: about 70 MB. It needs Java 17."""
    from folkmoot.cluster.cassandra_jars import CassandraMissing, fetched, java

    try:
        program, folder = java(), fetched()
    except CassandraMissing as missing:
        fail(str(missing), NOT_DONE)
    typer.echo(f"Cassandra is in {folder}, Java is {program}")
