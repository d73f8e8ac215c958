"""A crowd is there once all of it is, and then everyone hears from everyone; before that nothing counts."""

from collections.abc import Callable

import msgspec
import pytest

from folkmoot.bench.client import Client
from folkmoot.bench.crowd import Crowd, Joins, Storm
from folkmoot.bench.jobs import Begin, Job

SECOND_NS = 1_000_000_000
START_NS = 100 * SECOND_NS


class Room:
    """One group of three, and what they wrote."""

    def __init__(self, kind: Callable[..., Crowd], **what: object) -> None:
        given: dict[str, object] = {
            "host": "h",
            "port": 1,
            "secret": "s",
            "sources": [],
            "groups": ["ga"],
            "members": 3,
        }
        self.clients = [Client(n, 0, f"user-{n + 1}") for n in range(3)]
        for client in self.clients:
            client.seq = 4
            client.stranger = kind is Joins and client.fd > 0
        self.written: list[tuple[Client, bytes]] = []
        job = msgspec.convert({**given, **what}, Job)
        self.traffic = kind(job, self.clients, lambda client, data: self.written.append((client, data)))
        self.traffic.begin(Begin(START_NS, 1.0, 60.0))

    def hear(self, client: Client, data: bytes, now_ns: int) -> None:
        self.traffic.event(client, data, 0, len(data), now_ns)

    def everyone_gets_the_last(self, now_ns: int) -> None:
        sender, data = self.written[-1]
        send_id = data[data.index(b'"id":"') + 6 :].partition(b'"')[0]
        self.hear(sender, b'{"t":"accepted","id":"%b","seq":5}' % send_id, now_ns)
        for client in self.clients:
            entry = b'{"t":"entry","seq":%d,"position":"p%d","id":"%b"}' % (client.seq + 1, client.seq + 1, send_id)
            self.traffic.entry(client, entry, 0, len(entry), now_ns)


def test_who_is_lost_comes_back_with_its_position_a_little_later() -> None:
    room = Room(Storm, rate_per_s=1.0)
    traffic = room.traffic
    traffic.make_due(START_NS)
    room.everyone_gets_the_last(START_NS + 1)
    lost_ns = START_NS + 2 * SECOND_NS
    for client in room.clients:
        assert traffic.lost(client, lost_ns)
    # No more messages, and those that nobody answered do not matter.
    assert traffic.make_due(lost_ns) <= lost_ns + SECOND_NS // 10
    assert len(room.written) == 1
    back = list(traffic.come_back(lost_ns + SECOND_NS // 10))
    assert {client.position for client in back} == {"p5"}
    assert set(back) == set(room.clients)
    for client in back[:2]:
        room.hear(client, b'{"t":"recovered","group":"ga","seq":5}', lost_ns + SECOND_NS)
    assert not traffic.settled
    room.hear(back[2], b'{"t":"recovered","group":"ga","seq":5}', lost_ns + 3 * SECOND_NS)
    assert len(room.written) == 2
    room.everyone_gets_the_last(lost_ns + 3 * SECOND_NS + 1)
    assert traffic.settled
    tally = traffic.done()
    assert (tally.failed, tally.lost, tally.out_of_order) == ({}, 0, 0)
    assert tally.delivered == tally.expected == 3
    assert tally.there.quantile_ms(1.0) == pytest.approx(3_000, rel=0.02)
    assert tally.by_second == [0, 2, 0, 1]


def test_each_attempt_that_fails_may_wait_longer() -> None:
    room = Room(Storm)
    traffic, client = room.traffic, room.clients[0]
    for attempt in range(5):
        traffic.lost(client, START_NS)
        (back,) = traffic.come_back(START_NS + 2**attempt * SECOND_NS // 10)
        assert back is client


def test_who_is_not_there_in_the_end_is_counted() -> None:
    room = Room(Storm)
    room.traffic.lost(room.clients[0], START_NS)
    assert room.traffic.done().failed == {"not there": 3}


def test_strangers_ask_at_once_and_follow_when_they_are_taken() -> None:
    room = Room(Joins)
    traffic = room.traffic
    traffic.make_due(START_NS)
    assert room.written == []
    traffic.make_due(START_NS + SECOND_NS)
    assert [client.user for client, _ in room.written] == ["user-2", "user-3"]
    assert all(b"member.joined" in data for _, data in room.written)
    joins = len(room.written)
    for seq, client in enumerate(room.clients[1:], start=6):
        room.hear(client, b'{"t":"accepted","id":"j1","group":"ga","seq":%d}' % seq, START_NS + 2 * SECOND_NS)
        assert client.join == seq
    assert all(b'"t":"resume"' in data for _, data in room.written[joins:])
    for client in room.clients[1:]:
        room.hear(client, b'{"t":"recovered","group":"ga","seq":7}', START_NS + 2 * SECOND_NS)
    room.everyone_gets_the_last(START_NS + 2 * SECOND_NS)
    tally = traffic.done()
    assert tally.failed == {}
    assert tally.there.quantile_ms(0.5) == pytest.approx(1_000, rel=0.02)
