"""The verdict on a run: clean where the promise was kept, and each law can be broken by a record that was changed."""

from collections.abc import Callable

import msgspec
import pytest

from folkmoot.checker.laws import LAWS, judge_run
from folkmoot.testing.happenings import Asked, Noted, Stored, Told
from folkmoot.testing.plan import small_plan
from folkmoot.testing.simulation import Run, run_plan
from folkmoot.testing.world import GroupEnd

Change = Callable[[Run], Run]


def broken(change: Change) -> set[str]:
    return {violation.law for violation in judge_run(change(run_plan(small_plan())))}


def ending(change: Callable[[GroupEnd], GroupEnd]) -> Change:
    """The run with another end of its one group."""
    return lambda run: msgspec.structs.replace(run, ends={group: change(end) for group, end in run.ends.items()})


def shorter(end: GroupEnd) -> GroupEnd:
    return msgspec.structs.replace(end, entries=end.entries[:-1])


def doubled(end: GroupEnd) -> GroupEnd:
    again = msgspec.structs.replace(end.entries[3], seq=8)
    return msgspec.structs.replace(end, entries=[*end.entries, again])


def never_asked(run: Run) -> Run:
    kept = [h for h in run.happenings if not (isinstance(h, Asked) and h.send_id == "s2")]
    return msgspec.structs.replace(run, happenings=kept)


def told_otherwise(run: Run) -> Run:
    told = [
        msgspec.structs.replace(h, seq=None, definite=True, code="not_allowed")
        if isinstance(h, Told) and h.send_id == "s2"
        else h
        for h in run.happenings
    ]
    return msgspec.structs.replace(run, happenings=told)


def asked_the_other_way_round(run: Run) -> Run:
    asked = [h for h in run.happenings if isinstance(h, Asked) and h.user == "user-2"]
    others = [h for h in run.happenings if h not in asked]
    return msgspec.structs.replace(run, happenings=[*asked[::-1], *others])


def given_to_a_stranger(run: Run) -> Run:
    (group, entries) = next((group, entries) for (_, group), entries in run.given.items())
    return msgspec.structs.replace(run, given={**run.given, ("stranger", group): entries})


def with_more_unread(run: Run) -> Run:
    rows = {who: [msgspec.structs.replace(row, unread=99) for row in rows] for who, rows in run.rows.items()}
    return msgspec.structs.replace(run, rows=rows)


def with_a_group_left_out(run: Run) -> Run:
    return msgspec.structs.replace(run, rows={who: rows[1:] for who, rows in run.rows.items()})


def stored_twice(run: Run) -> Run:
    stored = next(h for h in run.happenings if isinstance(h, Stored))
    other = msgspec.structs.replace(stored, hash=b"other")
    return msgspec.structs.replace(run, happenings=[*run.happenings, other])


def test_a_run_as_it_was_is_clean() -> None:
    assert broken(lambda run: run) == set()


@pytest.mark.parametrize(
    ("change", "law"),
    [
        (ending(shorter), "missing"),
        (ending(doubled), "chain"),
        (never_asked, "invented"),
        (told_otherwise, "refused"),
        (asked_the_other_way_round, "order"),
        (given_to_a_stranger, "outside"),
        (with_more_unread, "unread"),
        (with_a_group_left_out, "chain"),
        (stored_twice, "epoch"),
        (lambda run: msgspec.structs.replace(run, behind=["someone"]), "stuck"),
        (lambda run: msgspec.structs.replace(run, strange=["something"]), "strange"),
        (lambda run: msgspec.structs.replace(run, breaches=[("wire", "a gap")]), "wire"),
    ],
)
def test_each_law_can_be_broken(change: Change, law: str) -> None:
    assert law in broken(change)
    assert law in LAWS


def refusal_of(asked: Asked, code: str) -> Told:
    return Told(
        at_ms=asked.at_ms,
        who=asked.who,
        user=asked.user,
        group=asked.group,
        send_id=asked.send_id,
        seq=None,
        code=code,
        definite=True,
    )


def test_an_outbox_set_back_asks_again_for_what_an_id_meant_then() -> None:
    """It is told of a conflict, and rightly: what stands under the id is what it asked for later, in other words."""
    run = run_plan(small_plan())
    asked = next(h for h in run.happenings if isinstance(h, Asked) and h.send_id == "s2")
    first = msgspec.structs.replace(asked, body=b'{"text":"as it was first"}')
    copied = Noted(at_ms=asked.at_ms, who=asked.who, what="copied", detail="1")
    conflict = refusal_of(asked, "send_id_conflict")
    at = run.happenings.index(asked)
    before, after = [*run.happenings[:at], first, copied], run.happenings[at:]
    back = msgspec.structs.replace(copied, what="rolled back")

    def refused(*then: Noted | Told) -> bool:
        changed = msgspec.structs.replace(run, happenings=[*before, *after, *then])
        return "refused" in {violation.law for violation in judge_run(changed)}

    assert refused(conflict)
    assert not refused(back, conflict)


def test_an_id_refused_under_a_join_that_was_over_may_be_used_under_a_later_one_but_not_stand_by_itself() -> None:
    run = run_plan(small_plan())
    asked = next(h for h in run.happenings if isinstance(h, Asked) and h.send_id == "s2")
    over = refusal_of(asked, "membership_over")
    at = run.happenings.index(asked)

    def refused(*earlier: Asked | Told) -> bool:
        changed = msgspec.structs.replace(run, happenings=[*run.happenings[:at], *earlier, *run.happenings[at:]])
        return "refused" in {violation.law for violation in judge_run(changed)}

    assert refused(over)
    assert not refused(asked, over)
