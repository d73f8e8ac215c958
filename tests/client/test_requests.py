"""Requests are paced, bounded, and asked again after a reconnect."""

import pytest

from folkmoot.client.errors import RequestFailed
from folkmoot.client.requests import AT_ONCE_MAX, BURST, PER_S, WAITING_MAX, Replied, Requests
from folkmoot.protocol import events as ev


def asked(requests: Requests, count: int = 1) -> list[ev.ListGroups]:
    made = [ev.ListGroups(ref=requests.next_ref()) for _ in range(count)]
    for request in made:
        requests.add(request)
    return made


def test_so_many_at_once_and_the_next_when_one_is_answered() -> None:
    requests = Requests()
    made = asked(requests, AT_ONCE_MAX + 2)
    assert requests.due(0.0) == made[:AT_ONCE_MAX]
    assert requests.due(0.0) == []
    reply = ev.GroupList(ref=made[3].ref, groups=[])
    requests.answered(reply)
    assert requests.replies == [Replied(made[3].ref, reply)]
    assert requests.due(0.0) == [made[AT_ONCE_MAX]]


def test_after_a_reconnect_all_are_asked_again_in_order() -> None:
    requests = Requests()
    made = asked(requests, 3)
    requests.due(0.0)
    requests.connected(5.0)
    assert requests.due(5.0) == made


def test_unavailable_is_asked_again_later() -> None:
    requests = Requests()
    (made,) = asked(requests)
    requests.due(0.0)
    assert requests.failed(ev.Failed(code="unavailable", ref=made.ref, retry_after_ms=1_000), 0.0)
    assert requests.due(0.5) == []
    assert requests.next_at == 1.0
    assert requests.due(1.0) == [made]


def test_any_other_error_is_the_answer() -> None:
    requests = Requests()
    (made,) = asked(requests)
    requests.due(0.0)
    assert requests.failed(ev.Failed(code="bad_limit", ref=made.ref, detail="1 to 100"), 0.0)
    assert requests.replies == [Replied(made.ref, None, "bad_limit", "1 to 100")]
    assert not requests.failed(ev.Failed(code="bad_limit", ref=made.ref), 0.0)


def test_one_that_nobody_waits_for_makes_room() -> None:
    requests = Requests()
    made = asked(requests, AT_ONCE_MAX + 1)
    requests.due(0.0)
    requests.forget(made[0].ref)
    assert requests.due(0.0) == [made[-1]]
    requests.answered(ev.GroupList(ref=made[0].ref, groups=[]))
    assert requests.replies == []


def test_a_flood_of_them_is_paced_under_the_servers_rate() -> None:
    requests = Requests()
    requests.connected(0.0)
    now_s, sent = 0.0, 0
    while now_s < 10.0:
        while len(requests) < AT_ONCE_MAX:
            asked(requests)
        for request in requests.due(now_s):
            sent += 1
            requests.answered(ev.GroupList(ref=request.ref, groups=[]))
        now_s += 0.001
    assert BURST + PER_S * 9 < sent <= BURST + PER_S * 10 + 1


def test_more_than_may_wait_is_said_so() -> None:
    requests = Requests()
    asked(requests, WAITING_MAX)
    with pytest.raises(RequestFailed, match="too_many_waiting"):
        asked(requests)
