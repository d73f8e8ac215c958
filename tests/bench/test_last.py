"""A message is over when its last member has it; then, where nothing sets the pace, the group has its next."""

import msgspec
import pytest

from folkmoot.bench.client import Client
from folkmoot.bench.jobs import Begin, Job
from folkmoot.bench.last import SendsToLast

SECOND_NS = 1_000_000_000
START_NS = 100 * SECOND_NS


class Room:
    """Two groups of three, and what they were told to send."""

    def __init__(self, *, rate_per_s: float, muted: int = 0, sends_max: int = 0, under_way: int = 1) -> None:
        given = {"host": "h", "port": 1, "secret": "s", "sources": [], "groups": ["ga", "gb"], "members": 3}
        given |= {"rate_per_s": rate_per_s, "sends_max": sends_max, "under_way": under_way}
        job = msgspec.convert({**given, "traffic": "sends_to_last"}, Job)
        self.clients = [Client(n, n // 3, f"user-{n + 1}") for n in range(6)]
        self.sent: list[tuple[Client, bytes]] = []
        self.traffic = SendsToLast(job, self.clients, lambda client, data: self.sent.append((client, data)))
        self.traffic.begin(Begin(START_NS, 0.0, 2.0, muted))

    def deliver(self, data: bytes, to: list[Client], now_ns: int) -> None:
        at = data.index(b'"id":"')
        for client in to:
            entry = b'{"t":"entry","seq":%d,%b}' % (client.seq + 1, data[at : at + 40])
            self.traffic.entry(client, entry, 0, len(entry), now_ns)


def test_the_time_is_that_of_the_last_member() -> None:
    room = Room(rate_per_s=1.0)
    room.traffic.make_due(START_NS)
    ((_, data),) = room.sent
    room.deliver(data, room.clients[:2], START_NS + 1_000_000)
    assert room.traffic.tally.last.count == 0
    room.deliver(data, room.clients[2:3], START_NS + 9_000_000)
    tally = room.traffic.done()
    assert tally.deliveries.count == 3
    assert tally.last.count == 1
    assert tally.last.quantile_ms(0.5) == pytest.approx(9, rel=0.02)


def test_without_a_pace_the_next_goes_out_once_everyone_has_the_one_before() -> None:
    room = Room(rate_per_s=0.0)
    room.traffic.make_due(START_NS + 1)
    assert [client.group for client, _ in room.sent] == [0, 1]
    room.deliver(room.sent[1][1], room.clients[3:5], START_NS + SECOND_NS)
    assert len(room.sent) == 2
    room.deliver(room.sent[1][1], room.clients[5:], START_NS + SECOND_NS)
    assert [client.group for client, _ in room.sent] == [0, 1, 1]
    room.deliver(room.sent[0][1], room.clients[:3], START_NS + 3 * SECOND_NS)
    assert len(room.sent) == 3


def test_several_are_under_way_of_each_group_and_each_is_followed_by_one() -> None:
    room = Room(rate_per_s=0.0, under_way=2)
    room.traffic.make_due(START_NS + 1)
    assert [client.user for client, _ in room.sent] == ["user-1", "user-4", "user-2", "user-5"]
    room.deliver(room.sent[2][1], room.clients[:3], START_NS + SECOND_NS)
    assert [client.user for client, _ in room.sent[4:]] == ["user-3"]
    room.deliver(room.sent[0][1], room.clients[:3], START_NS + SECOND_NS)
    assert [client.user for client, _ in room.sent[5:]] == ["user-1"]


def test_who_does_not_read_is_not_waited_for_and_does_not_send() -> None:
    room = Room(rate_per_s=0.0, muted=1)
    room.traffic.make_due(START_NS + 1)
    assert [client.user for client, _ in room.sent] == ["user-2", "user-5"]
    room.deliver(room.sent[0][1], room.clients[1:3], START_NS + 2)
    assert len(room.sent) == 3


def test_it_is_over_after_so_many() -> None:
    room = Room(rate_per_s=0.0, sends_max=2)
    room.traffic.make_due(START_NS + 1)
    room.deliver(room.sent[0][1], room.clients[:3], START_NS + 5)
    assert len(room.sent) == 2
    assert room.traffic.end_ns == START_NS + 5
