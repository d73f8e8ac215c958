"""What is wrong with what a client's application saw: each law is broken once, by a record that was changed."""

from collections.abc import Callable

import msgspec
import pytest

from folkmoot.checker.stories import Stage, of_stories
from folkmoot.testing.happenings import Happening, Heard, Took
from folkmoot.testing.plan import small_plan
from folkmoot.testing.simulation import run_plan

Change = Callable[[list[Happening]], list[Happening]]


def broken(change: Change) -> set[str]:
    """The laws that the run breaks once its record is changed."""
    run = run_plan(small_plan())
    changed = msgspec.structs.replace(run, happenings=change(list(run.happenings)))
    return {law for law, _ in of_stories(Stage(changed))}


def taken(record: list[Happening], seq: int) -> int:
    """Where user-2 took the entry."""
    return next(i for i, h in enumerate(record) if isinstance(h, Took) and h.who == "user-2/phone" and h.seq == seq)


def without(record: list[Happening]) -> list[Happening]:
    del record[taken(record, 4)]
    return record


def twice(record: list[Happening]) -> list[Happening]:
    at = taken(record, 4)
    return [*record[: at + 1], record[at], *record[at + 1 :]]


def with_another_body(record: list[Happening]) -> list[Happening]:
    at = taken(record, 4)
    record[at] = msgspec.structs.replace(record[at], body=b'{"text":"other"}')
    return record


def with_another_position(record: list[Happening]) -> list[Happening]:
    at = taken(record, 4)
    record[at] = msgspec.structs.replace(record[at], position="AAAA")
    return record


def without_its_end(record: list[Happening]) -> list[Happening]:
    del record[taken(record, 7)]
    return record


def with_event(event: str, seq: int) -> Change:
    def change(record: list[Happening]) -> list[Happening]:
        at = taken(record, 4)
        took = record[at]
        assert isinstance(took, Took)
        heard = Heard(at_ms=took.at_ms, who=took.who, user=took.user, group=took.group, event=event, seq=seq)
        return [*record[: at + 1], heard, *record[at + 1 :]]

    return change


def test_a_run_as_it_was_is_clean() -> None:
    assert broken(lambda record: record) == set()


@pytest.mark.parametrize(
    ("change", "law"),
    [
        (without, "gap"),
        (twice, "doubled"),
        (with_another_body, "altered"),
        (with_another_position, "position"),
        (without_its_end, "gap"),
        (with_event("recovered", 6), "position"),
        (with_event("ended", 4), "ended"),
        (with_event("reset", 0), "reset"),
        (with_event("joined", 6), "position"),
        (with_event("snapshot", 4), "snapshot"),
    ],
)
def test_each_law_can_be_broken(change: Change, law: str) -> None:
    assert law in broken(change)
