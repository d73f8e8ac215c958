"""`folkmoot history`: the end of a log, or a stretch of it, in rising order."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Shell

SENT = 5


@pytest.fixture(scope="module")
def group(shell: "Shell") -> str:
    made = shell.ok("group", "create", "history")
    for number in range(SENT):
        shell.ok("send", made, f"text {number}")
    return made


@pytest.mark.parametrize(
    ("options", "seqs"),
    [
        ((), [1, 2, 3, 4, 5, 6]),
        (("--limit", "2"), [5, 6]),
        (("--after", "2", "--limit", "2"), [3, 4]),
        (("--after", "2"), [3, 4, 5, 6]),
        (("--after", "0", "--limit", "1"), [1]),
        (("--before", "4"), [1, 2, 3]),
        (("--before", "4", "--limit", "2"), [2, 3]),
        (("--after", "99"), []),
    ],
)
def test_a_stretch_in_rising_order(shell: "Shell", group: str, options: tuple[str, ...], seqs: list[int]) -> None:
    entries = shell.as_user("user-1", "history", group, "--json", *options).jsons
    assert [entry["seq"] for entry in entries] == seqs


def test_for_people_it_is_one_line_an_entry(shell: "Shell", group: str) -> None:
    lines = shell.ok("history", group).splitlines()
    assert [line.split(maxsplit=2)[2] for line in lines][:2] == ["* user-1 made the group 'history'", "user-1: text 0"]


def test_more_than_a_page_comes_in_pages(shell: "Shell", monkeypatch: pytest.MonkeyPatch, group: str) -> None:
    monkeypatch.setattr("folkmoot.cli.history.PAGE", 2)
    for options, seqs in (
        ((), [2, 3, 4, 5, 6]),
        (("--after", "1"), [2, 3, 4, 5, 6]),
        (("--before", "6"), [1, 2, 3, 4, 5]),
    ):
        entries = shell.as_user("user-1", "history", group, "--json", "--limit", "5", *options).jsons
        assert [entry["seq"] for entry in entries] == seqs


def test_a_limit_that_is_none_is_wrong_use(shell: "Shell", group: str) -> None:
    for options in (("--limit", "0"), ("--limit", "x"), ("--after", "-1"), ("--before", "0")):
        assert shell.as_user("user-1", "history", group, *options).status == 2
