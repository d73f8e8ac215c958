"""`folkmoot group`: groups made, listed and changed, each change an entry with its number."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def members(shell: "Shell", group: str) -> dict[str, str]:
    rows = shell.as_user("user-1", "group", "members", group, "--json").jsons
    return {row["user"]: row["role"] for row in rows}


def test_a_group_is_made_with_its_members(shell: "Shell") -> None:
    group = shell.ok("group", "create", "group one", "--member", "user-2", "--member", "user-3")
    assert members(shell, group) == {"user-1": "owner", "user-2": "member", "user-3": "member"}
    done = shell.as_user("user-1", "group", "create", "group one again", "--json")
    assert list(done.json) == ["group"]


def test_the_same_id_makes_the_same_group(shell: "Shell") -> None:
    groups = {shell.ok("group", "create", "group two", "--id", "once") for _ in range(2)}
    assert len(groups) == 1


def test_members_are_added_promoted_and_removed(shell: "Shell") -> None:
    group = shell.ok("group", "create", "group three")
    assert shell.ok("group", "add", group, "user-2", "user-3") == "2"
    assert shell.ok("group", "role", group, "user-2", "admin") == "3"
    assert members(shell, group) == {"user-1": "owner", "user-2": "admin", "user-3": "member"}
    assert shell.as_user("user-2", "group", "remove", group, "user-3").out == "4\n"
    assert shell.as_user("user-2", "group", "leave", group).out == "5\n"
    assert members(shell, group) == {"user-1": "owner"}
    table = shell.ok("group", "members", group).splitlines()
    assert [line.split() for line in table] == [["user", "role", "since"], ["user-1", "owner", "1"]]


def test_a_group_is_renamed_and_listed(shell: "Shell") -> None:
    group = shell.ok("group", "create", "group [four]")
    assert shell.ok("group", "rename", group, "group [bold]four") == "2"
    shell.ok("send", group, "hello")
    rows = {row["group"]: row for row in shell.as_user("user-1", "group", "list", "--json").jsons}
    assert rows[group] == {
        "group": group, "name": "group [bold]four", "role": "owner", "join": 1,
        "members": 1, "seq": 3, "messages": 1, "unread": 0,
    }  # fmt: skip
    assert f"{group}  group [bold]four" in shell.ok("group", "list")


def test_an_open_group_can_be_joined_by_its_id(shell: "Shell") -> None:
    group = shell.ok("group", "create", "group five", "--entry", "open", "--history", "all")
    shell.ok("send", group, "before")
    assert shell.as_user("user-4", "group", "join", group).out == "3\n"
    assert "user-1: before" in shell.as_user("user-4", "history", group).out


def test_another_cannot_be_joined(shell: "Shell") -> None:
    group = shell.ok("group", "create", "group six")
    done = shell.as_user("user-4", "group", "join", group)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("folkmoot: not_taken: ")
    assert len(done.err.splitlines()) == 1


def test_what_is_not_allowed_is_refused(shell: "Shell") -> None:
    group = shell.ok("group", "create", "group seven", "--member", "user-2")
    done = shell.as_user("user-2", "group", "rename", group, "mine")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("folkmoot: not_allowed: ")
    done = shell.as_user("user-1", "group", "remove", group, "nobody")
    assert (done.status, done.out) == (1, "")


def test_a_word_that_is_none_of_the_choices_is_wrong_use(shell: "Shell") -> None:
    assert shell.as_user("user-1", "group", "create", "x", "--history", "some").status == 2
    assert shell.as_user("user-1", "group", "role", "x", "user-2", "king").status == 2


def test_a_group_is_deleted_once_it_is_said_twice(shell: "Shell") -> None:
    group = shell.ok("group", "create", "group seven", "--member", "user-2")
    assert shell.as_user("user-2", "group", "delete", group, "--yes").status == 1
    assert shell.as_user("user-1", "group", "delete", group).status == 1
    assert group in shell.ok("group", "list")
    assert shell.ok("group", "delete", group, "--yes") == "2"
    assert group not in shell.ok("group", "list")
