"""Tables for people: nothing in a cell is taken for anything but text."""

import pytest

from folkmoot.cli.table import show_table


def test_cells_are_text_whatever_is_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("user", "name"), [("user-1", "[red]x[/red]"), (2, "a\x1b[2Jb\u202ec")])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["user", "name"], ["user-1", "[red]x[/red]"], ["2", "a\ufffd[2Jb\ufffdc"]]
