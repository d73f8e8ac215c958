"""`folkmoot tail`: entries from where one likes; live ones are in tests/system/test_terminals.py."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Shell

SENT = 5


@pytest.fixture(scope="module")
def group(shell: "Shell") -> str:
    made = shell.ok("group", "create", "tail")
    for number in range(SENT):
        shell.ok("send", made, f"text {number}")
    return made


@pytest.mark.parametrize(("since", "first"), [("0", 1), ("start", 1), ("join", 1), ("3", 4)])
def test_from_a_place_on(shell: "Shell", group: str, since: str, first: int) -> None:
    done = shell.as_user("user-1", "tail", group, "--from", since, "--count", str(SENT + 2 - first), "--json")
    assert [entry["seq"] for entry in done.jsons] == list(range(first, SENT + 2))


def test_from_a_position_that_json_gave(shell: "Shell", group: str) -> None:
    third = shell.as_user("user-1", "tail", group, "--from", "2", "--count", "1", "--json").json
    done = shell.as_user("user-1", "tail", group, "--from", third["position"], "--count", "3", "--json")
    assert [entry["seq"] for entry in done.jsons] == [4, 5, 6]


def test_a_few_are_enough(shell: "Shell", group: str) -> None:
    done = shell.as_user("user-1", "tail", group, "--from", "start", "--count", "2")
    assert [line.split(maxsplit=2)[2] for line in done.lines] == ["* user-1 made the group 'tail'", "user-1: text 0"]


def test_all_of_mine_are_told_apart_by_their_names(shell: "Shell") -> None:
    for name in ("tail a", "tail b"):
        assert shell.as_user("tailer", "group", "create", name).status == 0
    done = shell.as_user("tailer", "tail", "--from", "start", "--count", "2")
    assert sorted(line.split(maxsplit=1)[1] for line in done.lines) == [
        "tail a     1 * tailer made the group 'tail a'",
        "tail b     1 * tailer made the group 'tail b'",
    ]


@pytest.mark.parametrize(
    "options", [("--from", "3"), ("--from", "AAAA"), ("x", "--from", "yesterday"), ("--count", "-1")]
)
def test_wrong_use(shell: "Shell", options: tuple[str, ...]) -> None:
    assert shell.as_user("user-1", "tail", *options).status == 2
