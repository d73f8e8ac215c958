"""`folkmoot send`: a message, its number, and the same again with the same id."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def test_a_message_is_sent_and_its_number_said(shell: "Shell") -> None:
    group = shell.ok("group", "create", "send one")
    assert shell.ok("send", group, "hello") == "2"
    assert shell.ok("send", "send one", "by its name") == "3"


def test_for_scripts_it_is_json(shell: "Shell") -> None:
    group = shell.ok("group", "create", "send two")
    assert shell.as_user("user-1", "send", group, "hello", "--json").json == {"group": group, "seq": 2}


def test_the_same_id_is_the_same_message(shell: "Shell") -> None:
    group = shell.ok("group", "create", "send three")
    assert [shell.ok("send", group, "hello", "--id", "once") for _ in range(2)] == ["2", "2"]
    again = shell.as_user("user-1", "send", group, "another", "--id", "once")
    assert (again.status, again.out) == (1, "")
    assert again.err.startswith("folkmoot: send_id_conflict: ")


def test_what_is_refused_is_said_with_its_code(shell: "Shell") -> None:
    group = shell.ok("group", "create", "send four")
    empty = shell.as_user("user-1", "send", group, "")
    assert (empty.status, empty.err) == (1, "folkmoot: bad_body: a message has a text, or a type\n")


def test_a_group_of_others_is_none_of_mine(shell: "Shell") -> None:
    group = shell.ok("group", "create", "send five")
    stranger = shell.as_user("stranger", "send", group, "hello")
    assert (stranger.status, stranger.err) == (1, f"folkmoot: no group '{group}' among yours\n")
