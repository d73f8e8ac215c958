"""The verdict: a clean history is clean, and each fault planted in one is found, under its own name."""

import copy
from collections.abc import Callable
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.checker.history import (
    EXAMPLES_MAX,
    FAULTS,
    Answered,
    Applied,
    Asked,
    Duty,
    History,
    Verdict,
    judge,
    merged,
)

GROUP: Final = "g1"
MEMBERS: Final = ("ann", "bob", "cat")


def clean(count: int = 6) -> History:
    """Three members; the sends s1, s2, … by turns, acknowledged at 2, 3, …, and applied by all."""
    history = History()
    history.asked.append(Asked("ann", "make", GROUP, b"{}", "group.created"))
    history.answered.append(Answered("ann", "make", GROUP, 1))
    for number in range(1, count + 1):
        sender = MEMBERS[number % 3]
        history.asked.append(Asked(sender, f"s{number}", GROUP, f"text {number}".encode()))
        history.answered.append(Answered(sender, f"s{number}", GROUP, number + 1))
    for member in MEMBERS:
        history.duties.append(Duty(member, GROUP, 1))
        history.applied.append(Applied(member, GROUP, 1, "ann", "make", b"{}", "group.created"))
        for number in range(1, count + 1):
            sender = MEMBERS[number % 3]
            history.applied.append(Applied(member, GROUP, number + 1, sender, f"s{number}", f"text {number}".encode()))
    return history


def found(history: History) -> dict[str, int]:
    """The faults that were found, and how often."""
    return {fault: count for fault, count in judge(history).counts.items() if count}


def at(history: History, client: str, seq: int) -> int:
    """Where in `applied` a client's entry stands."""
    return next(i for i, a in enumerate(history.applied) if (a.client, a.seq) == (client, seq))


def change(history: History, client: str, seq: int, **fields: object) -> None:
    index = at(history, client, seq)
    history.applied[index] = msgspec.structs.replace(history.applied[index], **fields)


def test_a_clean_history_is_clean_and_counted() -> None:
    verdict = judge(clean())
    assert verdict.clean
    assert verdict.lines() == []
    assert (verdict.acknowledged, verdict.deliveries) == (7, 21)


def test_nothing_at_all_is_clean() -> None:
    assert judge(History()).clean


def test_a_lost_entry_is_missing() -> None:
    history = clean()
    del history.applied[at(history, "bob", 4)]
    assert found(history) == {"missing": 1}
    assert judge(history).examples == {"missing": ["bob does not have g1 4 (ann/s3)"]}


def test_an_entry_lost_by_everybody_is_missing_at_each() -> None:
    history = clean()
    history.applied = [a for a in history.applied if a.seq != 4]
    assert found(history) == {"missing": 3}


def test_a_member_who_got_nothing_lacks_everything() -> None:
    history = clean()
    history.applied = [a for a in history.applied if a.client != "cat"]
    assert found(history) == {"missing": 7}


def test_an_unanswered_entry_that_one_member_has_is_missing_at_the_others() -> None:
    history = clean()
    history.answered = [a for a in history.answered if a.seq != 4]
    assert found(history) == {}
    del history.applied[at(history, "bob", 4)]
    assert found(history) == {"missing": 1}


def test_an_unanswered_entry_at_the_end_may_still_be_on_its_way() -> None:
    history = clean()
    history.answered = [a for a in history.answered if a.seq != 7]
    del history.applied[at(history, "bob", 7)]
    assert found(history) == {}


def test_an_acknowledged_number_that_holds_another_entry_is_missing() -> None:
    """What stands there was asked for, and is unanswered: only the number's meaning tells."""
    history = clean()
    history.asked.append(Asked("dan", "other", GROUP, b"other"))
    for member in MEMBERS:
        change(history, member, 4, sender="dan", send_id="other", content=b"other")
    assert found(history) == {"missing": 3}


def test_an_entry_applied_twice_is_doubled() -> None:
    history = clean()
    history.applied.append(history.applied[at(history, "bob", 7)])
    assert found(history) == {"doubled": 1}


def test_a_send_that_stands_twice_in_the_log_is_doubled() -> None:
    history = clean()
    for member in MEMBERS:
        history.applied.append(Applied(member, GROUP, 8, MEMBERS[0], "s6", b"text 6"))
    assert found(history) == {"doubled": 1}


def test_an_unanswered_send_may_stand_once_and_not_twice() -> None:
    history = clean()
    history.asked.append(Asked("bob", "open", GROUP, b"open"))
    for member in MEMBERS:
        history.applied.append(Applied(member, GROUP, 8, "bob", "open", b"open"))
    assert found(history) == {}
    for member in MEMBERS:
        history.applied.append(Applied(member, GROUP, 9, "bob", "open", b"open"))
    assert found(history) == {"doubled": 1}


def test_an_entry_after_a_later_one_is_out_of_order() -> None:
    history = clean()
    first, second = at(history, "bob", 4), at(history, "bob", 5)
    history.applied[first], history.applied[second] = history.applied[second], history.applied[first]
    assert found(history) == {"out_of_order": 1}


def test_sends_of_one_outbox_stand_in_the_order_in_which_they_were_made() -> None:
    history = clean()
    first = next(i for i, a in enumerate(history.asked) if a.send_id == "s1")
    second = next(i for i, a in enumerate(history.asked) if a.send_id == "s4")
    assert history.asked[first].sender == history.asked[second].sender
    history.asked[first], history.asked[second] = history.asked[second], history.asked[first]
    assert found(history) == {"out_of_order": 1}
    # Two devices of one user promise no order between them.
    history.asked[second] = msgspec.structs.replace(history.asked[second], client="phone")
    assert found(history) == {}


def test_another_body_is_altered() -> None:
    history = clean()
    change(history, "bob", 4, content=b"text 3.")
    assert found(history) == {"altered": 1}


def test_another_kind_is_altered() -> None:
    history = clean()
    change(history, "bob", 4, kind="group.renamed")
    assert found(history) == {"altered": 1}
    assert "kind" in judge(history).examples["altered"][0]


def test_another_sender_is_altered_and_the_acknowledged_entry_missing() -> None:
    history = clean()
    for member in MEMBERS:
        change(history, member, 4, sender="bob")
    assert found(history) == {"altered": 3, "missing": 3}


def test_two_entries_at_one_number_disagree() -> None:
    history = clean()
    history.answered = [a for a in history.answered if a.seq not in (4, 5)]
    change(history, "bob", 4, sender="bob", send_id="s4", content=b"text 4")
    change(history, "bob", 5, sender="ann", send_id="s3", content=b"text 3")
    counts = found(history)
    assert counts["disagreed"] == 2
    # Each stands at two numbers, and bob lacks what the others have.
    assert counts == {"disagreed": 2, "doubled": 2, "missing": 2}


def test_an_entry_that_nobody_sent_is_invented() -> None:
    history = clean()
    for member in MEMBERS:
        history.applied.append(Applied(member, GROUP, 8, "eve", "x", b"boo"))
    assert found(history) == {"invented": 3}


def test_an_entry_of_another_group_is_invented_here() -> None:
    history = clean()
    history.asked.append(Asked("bob", "there", "g2", b"there"))
    history.applied.append(Applied("bob", GROUP, 8, "bob", "there", b"there"))
    assert found(history) == {"invented": 1}


def test_a_refused_send_that_appears_is_found() -> None:
    history = clean()
    history.asked.append(Asked("bob", "no", GROUP, b"no"))
    history.answered.append(Answered("bob", "no", GROUP, None))
    assert found(history) == {}
    history.applied.append(Applied("ann", GROUP, 8, "bob", "no", b"no"))
    assert found(history) == {"refused_but_stored": 1}


def test_a_send_both_refused_and_acknowledged_is_found() -> None:
    history = clean()
    history.asked.append(Asked("bob", "no", GROUP, b"no"))
    history.answered += [Answered("bob", "no", GROUP, None), Answered("bob", "no", GROUP, 8)]
    assert found(history) == {"refused_but_stored": 1, "missing": 3}


def test_one_send_answered_with_two_numbers_is_misnumbered() -> None:
    history = clean()
    history.answered.append(Answered("ann", "s3", GROUP, 4))
    assert found(history) == {}
    history.answered.append(Answered("ann", "s3", GROUP, 9))
    assert found(history)["misnumbered"] >= 1


def test_an_entry_applied_at_another_number_than_acknowledged_is_misnumbered() -> None:
    history = clean()
    history.answered = [msgspec.structs.replace(a, seq=9) if a.send_id == "s6" else a for a in history.answered]
    assert found(history) == {"misnumbered": 1, "missing": 3}


def test_what_is_given_outside_a_membership_is_found() -> None:
    history = clean()
    history.duties = [Duty("ann", GROUP, 1), Duty("bob", GROUP, 1), Duty("cat", GROUP, 1, 5)]
    assert found(history) == {"outside": 2}


def test_a_member_added_again_owes_both_stays_and_nothing_between() -> None:
    history = clean()
    history.duties = [Duty("ann", GROUP, 1), Duty("bob", GROUP, 1), Duty("cat", GROUP, 1, 3), Duty("cat", GROUP, 6)]
    del history.applied[at(history, "cat", 4)]
    del history.applied[at(history, "cat", 5)]
    assert found(history) == {}
    del history.applied[at(history, "cat", 7)]
    assert found(history) == {"missing": 1}
    del history.applied[at(history, "cat", 3)]
    assert found(history) == {"missing": 2}


def test_a_report_says_what_was_found_and_shows_a_few() -> None:
    history = clean(20)
    history.applied = [a for a in history.applied if a.client != "cat"]
    lines = judge(history).lines()
    assert lines[0] == f"21 missing: {FAULTS['missing']}"
    assert lines[1] == "  cat does not have g1 1 (ann/make)"
    assert lines[-1] == "  and 16 more"
    assert len(lines) == EXAMPLES_MAX + 2


def test_verdicts_on_different_groups_add_up() -> None:
    bad = clean()
    del bad.applied[at(bad, "bob", 4)]
    both = merged([judge(clean()), judge(bad), judge(bad)])
    assert both.counts["missing"] == 2
    assert both.examples == {"missing": ["bob does not have g1 4 (ann/s3)"] * 2}
    assert (both.acknowledged, both.deliveries) == (21, 61)
    many = merged([judge(bad)] * 9)
    assert len(many.examples["missing"]) == EXAMPLES_MAX
    assert merged([]) == Verdict(dict.fromkeys(FAULTS, 0), {}, 0, 0)


# Any clean history is clean, and any one fault in any of them is found.

members = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=2, max_size=4, unique=True)


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Sends, some unanswered or refused, in an order that a log decided; members who come and go; all kept."""
    names = draw(members)
    history = History()
    seq = 0
    for number in range(draw(st.integers(1, 12))):
        sender = draw(st.sampled_from(names))
        asked = Asked(sender, f"s{number}", GROUP, draw(st.binary(max_size=3)))
        history.asked.append(asked)
        fate = draw(st.sampled_from(["acknowledged", "acknowledged", "unanswered", "lost", "refused"]))
        if fate in ("acknowledged", "unanswered"):
            seq += 1
            for name in names:
                history.applied.append(Applied(name, GROUP, seq, sender, asked.send_id, asked.content))
        if fate == "acknowledged":
            history.answered.append(Answered(sender, asked.send_id, GROUP, seq))
        elif fate == "refused":
            history.answered.append(Answered(sender, asked.send_id, GROUP, None))
    for name in names:
        first = draw(st.integers(1, seq + 1))
        last = draw(st.none() | st.integers(first, seq + 2))
        history.duties.append(Duty(name, GROUP, first, last))
    by_client = {duty.client: duty for duty in history.duties}
    history.applied = [a for a in history.applied if a.seq in by_client[a.client]]
    # Clients run side by side: only each one's own order is known.
    mixed = draw(st.permutations(names))
    history.applied.sort(key=lambda a: mixed.index(a.client))
    return history


@given(histories())
def test_any_clean_history_is_clean(history: History) -> None:
    assert judge(history).lines() == []


def _drop(history: History, index: int) -> str | None:
    applied = history.applied[index]
    acknowledged = any(a.seq == applied.seq for a in history.answered)
    del history.applied[index]
    return "missing" if acknowledged else None


def _double(history: History, index: int) -> str | None:
    history.applied.insert(index, history.applied[index])
    return "doubled"


def _alter(history: History, index: int) -> str | None:
    applied = history.applied[index]
    history.applied[index] = msgspec.structs.replace(applied, content=applied.content + b"!")
    return "altered"


def _change_kind(history: History, index: int) -> str | None:
    history.applied[index] = msgspec.structs.replace(history.applied[index], kind="member.left")
    return "altered"


def _invent(history: History, index: int) -> str | None:
    applied = history.applied[index]
    history.applied.insert(index, msgspec.structs.replace(applied, send_id="nobody's"))
    return "invented"


def _refuse(history: History, index: int) -> str | None:
    applied = history.applied[index]
    history.answered.append(Answered(applied.sender, applied.send_id, GROUP, None))
    return "refused_but_stored"


def _renumber(history: History, index: int) -> str | None:
    applied = history.applied[index]
    history.answered.append(Answered(applied.sender, applied.send_id, GROUP, applied.seq))
    history.answered.append(Answered(applied.sender, applied.send_id, GROUP, applied.seq + 1))
    return "misnumbered"


def _store_again(history: History, index: int) -> str | None:
    applied = history.applied[index]
    history.applied.insert(index, msgspec.structs.replace(applied, seq=1_000))
    return "doubled"


def _disagree(history: History, index: int) -> str | None:
    applied = history.applied[index]
    others = [a for a in history.applied if a.seq == applied.seq and a.client != applied.client]
    history.asked.append(Asked("z", "else", GROUP, b""))
    history.applied[index] = msgspec.structs.replace(applied, sender="z", send_id="else", content=b"")
    return "disagreed" if others else None


def _give_outside(history: History, index: int) -> str | None:
    client = history.applied[index].client
    history.duties = [duty for duty in history.duties if duty.client != client]
    return "outside"


def _swap(history: History, index: int) -> str | None:
    mine = [i for i, a in enumerate(history.applied) if a.client == history.applied[index].client]
    if len(mine) < 2:
        return None
    first, last = mine[0], mine[-1]
    history.applied[first], history.applied[last] = history.applied[last], history.applied[first]
    return "out_of_order"


PLANTS: Final[tuple[Callable[[History, int], str | None], ...]] = (
    _drop, _double, _alter, _change_kind, _invent, _refuse, _renumber, _store_again, _disagree, _give_outside, _swap,
)  # fmt: skip


@pytest.mark.parametrize("plant", PLANTS)
def test_a_fault_planted_in_any_clean_history_is_found(plant: Callable[[History, int], str | None]) -> None:
    planted = 0

    @given(histories(), st.data())
    def check(history: History, data: st.DataObject) -> None:
        nonlocal planted
        if not history.applied:
            return
        index = data.draw(st.integers(0, len(history.applied) - 1))
        broken = copy.deepcopy(history)
        fault = plant(broken, index)
        if fault is not None:
            planted += 1
            assert judge(broken).counts[fault] > 0

    check()
    assert planted > 10
