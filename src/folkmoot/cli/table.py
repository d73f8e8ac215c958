"""Rows as a table for people."""

from collections.abc import Iterable, Sequence


def show_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print `rows` under `head`. Nothing in a cell is taken for markup, and nothing for the terminal's own codes."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*head, box=None, header_style="bold")
    for row in rows:
        table.add_row(*(escape(_printable(str(cell))) for cell in row))
    Console().print(table)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
