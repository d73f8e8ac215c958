"""`folkmoot chat` with lines from a pipe: what was said is shown, each line is sent; a real one is in tests/system."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def said(lines: list[str]) -> list[str]:
    return [line.split(maxsplit=2)[2] for line in lines]


def test_the_last_entries_are_shown_and_each_line_is_sent(shell: "Shell") -> None:
    group = shell.ok("group", "create", "chat one", "--member", "user-2")
    shell.ok("send", group, "hello")
    done = shell.as_user("user-2", "chat", group, typed="hello yourself\n\n  \nthere\n")
    assert done.status == 0
    assert said(done.lines)[:2] == ["* user-1 made the group 'chat one'", "user-1: hello"]
    history = shell.ok("history", group).splitlines()
    assert said(history)[2:] == ["user-2: hello yourself", "user-2: there"]


def test_what_is_refused_is_said_and_ends_with_a_status(shell: "Shell") -> None:
    group = shell.ok("group", "create", "chat two")
    done = shell.as_user("user-1", "chat", group, typed="x" * 8_001 + "\nfine\n")
    assert done.status == 1
    assert any(line.startswith("(not sent: too_long") for line in done.lines)
    assert done.err == "folkmoot: 1 of your messages were not confirmed\n"
    assert said(shell.ok("history", group).splitlines())[1:] == ["user-1: fine"]
