"""Requests are meant for times that no answer moves, and what comes back is counted once, all of it."""

import itertools
import json

import msgspec
import pytest

from folkmoot.bench.client import Client
from folkmoot.bench.jobs import Begin, Job
from folkmoot.bench.traffic import NEVER_NS, Sends, Traffic
from folkmoot.bench.wire import next_frame, stamp

SECOND_NS = 1_000_000_000
START_NS = 100 * SECOND_NS


class Sockets:
    """Takes what is written, by client."""

    def __init__(self, groups: int, members: int) -> None:
        self.clients = [Client(n, n // members, f"user-{n + 1}") for n in range(groups * members)]
        for client in self.clients:
            client.seq = 1
        self.written: list[tuple[Client, bytes]] = []

    def write(self, client: Client, data: bytes) -> None:
        self.written.append((client, data))

    def events(self) -> list[tuple[Client, dict[str, object]]]:
        """What was asked, as events; the list is empty afterwards."""
        written, self.written = self.written, []
        return [(client, json.loads(data[data.index(b"{") :])) for client, data in written]


def job_of(**what: object) -> Job:
    given: dict[str, object] = {"host": "h", "port": 1, "secret": "s", "sources": ["127.0.0.1"], "members": 2}
    return msgspec.convert(given | {"groups": ["ga", "gb"]} | what, Job)


def begun(sockets: Sockets, job: Job, *, warm_s: float = 1.0, seconds: float = 2.0) -> Traffic:
    kind = Sends if job.traffic == "sends" else Traffic
    traffic = kind(job, sockets.clients, sockets.write)
    traffic.begin(Begin(START_NS, warm_s, seconds))
    return traffic


def told(traffic: Traffic, client: Client, now_ns: int, **event: object) -> None:
    data = json.dumps(event, separators=(",", ":")).encode()
    if event["t"] == "entry":
        traffic.entry(client, data, 0, len(data), now_ns)
    else:
        traffic.event(client, data, 0, len(data), now_ns)


def test_sends_take_groups_and_members_in_turn() -> None:
    sockets = Sockets(2, 2)
    traffic = begun(sockets, job_of(traffic="sends", rate_per_s=10.0, in_turn=True))
    due_ns = traffic.make_due(START_NS + SECOND_NS // 2 - 1)
    asked = sockets.events()
    assert due_ns == START_NS + SECOND_NS // 2
    assert [event["group"] for _, event in asked] == ["ga", "gb", "ga", "gb", "ga"]
    assert [client.user for client, _ in asked] == ["user-1", "user-3", "user-2", "user-4", "user-1"]
    assert [event["id"] for _, event in asked] == [stamp("t", START_NS + n * SECOND_NS // 10) for n in range(5)]


def test_groups_are_drawn_at_random_and_the_same_ones_for_whoever_is_measured() -> None:
    def groups_of(**what: object) -> list[object]:
        sockets = Sockets(4, 2)
        job = job_of(traffic="sends", rate_per_s=100.0, groups=["ga", "gb", "gc", "gd"], **what)
        begun(sockets, job, seconds=3.0).make_due(START_NS + 3 * SECOND_NS)
        return [event["group"] for _, event in sockets.events()]

    drawn = groups_of()
    assert groups_of(dialect="folkmoot") == drawn != groups_of(seed=2)
    assert len(drawn) == 301
    assert all(40 < drawn.count(group) < 110 for group in ("ga", "gb", "gc", "gd"))
    # Between two of a group there is now little time and now much: a turn is always the same.
    assert any(one == next_one for one, next_one in itertools.pairwise(drawn))
    assert groups_of(unanswered_max=1)[:4] == groups_of(in_turn=True)[:4] == ["ga", "gb", "gc", "gd"]


def test_what_is_late_was_meant_when_it_was_due() -> None:
    sockets = Sockets(2, 2)
    traffic = begun(sockets, job_of(traffic="sends", rate_per_s=2.0), warm_s=0.0)
    traffic.make_due(START_NS + SECOND_NS)
    for client, event in sockets.events():
        told(traffic, client, START_NS + SECOND_NS, t="accepted", id=event["id"], group=event["group"], seq=2)
    tally = traffic.done()
    assert tally.late.quantile_ms(1.0) == pytest.approx(1_000, rel=0.02)
    assert tally.answers.quantile_ms(1.0) == pytest.approx(1_000, rel=0.02)


def test_nothing_is_made_after_the_end() -> None:
    sockets = Sockets(2, 2)
    traffic = begun(sockets, job_of(traffic="sends", rate_per_s=10.0))
    assert traffic.make_due(START_NS + 10 * SECOND_NS) == NEVER_NS
    assert len(sockets.written) == 30


def test_processes_take_turns() -> None:
    first, second = Sockets(1, 2), Sockets(1, 2)
    for client in second.clients:
        client.group = 1
    one = begun(first, job_of(traffic="sends", rate_per_s=10.0, workers=2))
    other = begun(second, job_of(traffic="sends", rate_per_s=10.0, worker=1, workers=2))
    for traffic in (one, other):
        traffic.make_due(START_NS + SECOND_NS - 1)
    ids = sorted(str(event["id"]) for _, event in first.events() + second.events())
    assert ids == [stamp("t", START_NS + n * SECOND_NS // 10) for n in range(10)]


def test_deliveries_count_from_when_they_were_meant() -> None:
    sockets = Sockets(1, 2)
    traffic = begun(sockets, job_of(groups=["ga"], traffic="sends", rate_per_s=1.0))
    traffic.make_due(START_NS + SECOND_NS)
    asked = sockets.events()
    now_ns = START_NS + SECOND_NS + 7_000_000
    for _, event in asked:
        told(traffic, sockets.clients[0], now_ns, t="accepted", id=event["id"], group="ga", seq=2)
    assert not traffic.settled
    for seq, (_, event) in enumerate(asked, start=2):
        for client in sockets.clients:
            told(traffic, client, now_ns, t="entry", group="ga", seq=seq, sender="user-1", id=event["id"])
    assert traffic.settled
    tally = traffic.done()
    assert (tally.sent, tally.accepted, tally.expected, tally.delivered, tally.in_window) == (2, 2, 4, 4, 4)
    assert tally.by_second == [0, 4, 0, 0]
    assert (tally.out_of_order, tally.failed) == (0, {})
    # Only the second was meant in the window.
    assert tally.deliveries.count == 2
    assert tally.deliveries.quantile_ms(0.5) == pytest.approx(7, rel=0.02)


def test_a_gap_and_a_double_are_noticed() -> None:
    sockets = Sockets(1, 2)
    traffic = begun(sockets, job_of(groups=["ga"], traffic="sends", rate_per_s=1.0))
    told(traffic, sockets.clients[0], START_NS, t="entry", group="ga", seq=3, id="x")
    told(traffic, sockets.clients[1], START_NS, t="entry", group="ga", seq=2, id="x")
    told(traffic, sockets.clients[1], START_NS, t="entry", group="ga", seq=2, id="x")
    assert traffic.tally.out_of_order == 2
    assert traffic.tally.delivered == 0  # Neither is of a send of the load.


def test_one_at_a_time_waits_for_the_answer_and_counts_the_wait() -> None:
    sockets = Sockets(1, 2)
    traffic = begun(sockets, job_of(groups=["ga"], traffic="sends", rate_per_s=10.0, unanswered_max=1), warm_s=0.0)
    traffic.make_due(START_NS + SECOND_NS // 10)
    ((client, first),) = sockets.events()
    told(traffic, client, START_NS + SECOND_NS, t="accepted", id=first["id"], group="ga", seq=2)
    ((client, second),) = sockets.events()
    assert second["id"] == stamp("t", START_NS + SECOND_NS // 10)
    told(traffic, client, START_NS + SECOND_NS, t="accepted", id=second["id"], group="ga", seq=3)
    assert traffic.tally.accepted_in_window == 2
    assert traffic.done().answers.quantile_ms(0.01) == pytest.approx(900, rel=0.02)


def test_without_a_rate_each_answer_is_followed_by_the_next() -> None:
    sockets = Sockets(2, 2)
    traffic = begun(sockets, job_of(traffic="sends", unanswered_max=1), warm_s=0.0)
    traffic.make_due(START_NS)
    asked = sockets.events()
    assert [event["group"] for _, event in asked] == ["ga", "gb"]
    client, event = asked[0]
    told(traffic, client, START_NS + 5, t="accepted", id=event["id"], group="ga", seq=2)
    ((_, following),) = sockets.events()
    assert following["id"] == stamp("t", START_NS + 5)
    told(traffic, client, traffic.end_ns, t="accepted", id=following["id"], group="ga", seq=3)
    assert sockets.events() == []


def test_as_many_of_a_group_are_unanswered_as_may_be() -> None:
    sockets = Sockets(2, 2)
    traffic = begun(sockets, job_of(traffic="sends", unanswered_max=3), warm_s=0.0)
    traffic.make_due(START_NS)
    asked = sockets.events()
    assert [event["group"] for _, event in asked] == ["ga", "gb"] * 3
    assert len({(event["group"], event["id"]) for _, event in asked}) == 6
    client, event = asked[0]
    told(traffic, client, START_NS + 5, t="accepted", id=event["id"], group="ga", seq=2)
    assert [event["group"] for _, event in sockets.events()] == ["ga"]


def test_what_is_not_answered_or_not_sent_is_said() -> None:
    sockets = Sockets(1, 2)
    traffic = begun(sockets, job_of(groups=["ga"], traffic="sends", rate_per_s=10.0, unanswered_max=1))
    traffic.make_due(START_NS + SECOND_NS // 4)
    assert traffic.done().failed == {"unsent": 2, "unanswered": 1}


def test_a_refusal_is_counted_by_its_code() -> None:
    sockets = Sockets(1, 2)
    traffic = begun(sockets, job_of(groups=["ga"], traffic="sends", rate_per_s=1.0))
    traffic.make_due(START_NS)
    told(traffic, sockets.clients[0], START_NS, t="undecided", id="x", group="ga", code="rate_limited")
    assert traffic.settled
    assert traffic.done().failed == {"rate_limited": 1}


def test_the_floor_is_handed_the_frame_that_a_server_would_send() -> None:
    sockets = Sockets(1, 2)
    traffic = begun(sockets, job_of(groups=["ga"], traffic="sends", rate_per_s=1.0, dialect="floor", text_bytes=9))
    traffic.make_due(START_NS)
    ((_, data),) = sockets.written
    assert int.from_bytes(data[:4], "big") == 0
    assert int.from_bytes(data[4:8], "big") == len(data) - 8
    _, start, end = next_frame(data, 8)
    entry = json.loads(data[start:end])
    assert entry["t"] == "entry"
    assert (entry["id"], entry["body"]) == (stamp("t", START_NS), {"text": "x" * 9})
    assert traffic.tally.expected == 2


def test_acknowledgements_go_round_the_sockets() -> None:
    sockets = Sockets(1, 2)
    traffic = begun(sockets, job_of(groups=["ga"], acks_per_s=4.0))
    sockets.clients[1].seq = 9
    due_ns = traffic.make_due(START_NS + SECOND_NS // 2)
    assert [event for _, event in sockets.events()] == [{"t": "ack", "groups": {"ga": seq}} for seq in (1, 9, 1)]
    assert due_ns == START_NS + 3 * SECOND_NS // 4
    assert traffic.settled
