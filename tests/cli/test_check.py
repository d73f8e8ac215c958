"""`folkmoot check`: its verbs, each with help of its own."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def test_each_verb_says_what_it_does(shell: "Shell") -> None:
    assert "live" in shell.run("check", "--help").out
    assert "--faults" in shell.run("check", "live", "--help").out
