"""The scripted server says what a real one says: sends decided by the router's rules, positions judged by the log."""

import msgspec
import pytest

from folkmoot.model import body as bodies
from folkmoot.model import entry as kinds
from folkmoot.model.entry import first_break, genesis
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import JSON, FrameInvalid
from folkmoot.testing.scripted_server import ScriptedServer, ServerEnd

ME = "user-1"
OTHER = "user-2"


def heard(end: ServerEnd) -> list[ev.Event]:
    """What it has said since the last look."""
    events: list[ev.Event] = [JSON.decode_server(frame) for frame in end.said]
    end.said.clear()
    return events


def told(end: ServerEnd, *events: ev.Event) -> list[ev.Event]:
    """What it says to these events of the client."""
    for event in events:
        end.receive(JSON.encode(event))
    return heard(end)


def greeted(server: ScriptedServer, user: str = ME) -> ServerEnd:
    end = ServerEnd(server)
    (welcome,) = told(end, ev.Hello(token=user, versions=[1]))
    assert isinstance(welcome, ev.Welcome)
    return end


def names(events: list[ev.Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def said(text: str, send_id: str, group: str, after: str | None = None, join: int = 1) -> ev.Send:
    body = msgspec.Raw(bodies.canonical(bodies.Message(text=text)))
    return ev.Send(id=send_id, kind=kinds.MESSAGE, group=group, join=join, after=after, body=body)


def test_hello_comes_first() -> None:
    with pytest.raises(FrameInvalid, match="Resume"):
        told(ServerEnd(ScriptedServer()), ev.Resume(others=True))


def test_logs_are_chained() -> None:
    server = ScriptedServer()
    group = server.create(OTHER, [ME])
    server.say(group, OTHER, "a")
    server.say_unknown(group, OTHER)
    server.say(group, OTHER, "b")
    log = server.log(group)
    assert [entry.seq for entry in log] == [1, 2, 3, 4]
    assert first_break(genesis(group), 0, log) is None


def test_a_fresh_client_gets_a_snapshot_then_what_comes() -> None:
    server = ScriptedServer()
    group = server.create(OTHER, [ME])
    end = greeted(server)
    assert names(told(end, ev.Resume(others=True))) == ["Snapshot", "Recovered", "ResumeDone"]
    server.say(group, OTHER, "a")
    assert names(heard(end)) == ["EntryEvent"]


def test_a_fresh_client_can_begin_at_its_join() -> None:
    server = ScriptedServer()
    group = server.create(OTHER)
    server.say(group, OTHER, "before")
    server.change(group, OTHER, kinds.ADDED, bodies.Added(users=(ME,)))
    end = greeted(server)
    events = told(end, ev.Resume(others=True, fresh="join"))
    assert names(events) == ["JoinedEvent", "EntryEvent", "Recovered", "ResumeDone"]
    assert isinstance(events[0], ev.JoinedEvent)
    assert (events[0].seq, events[0].join) == (2, 3)


def test_sends_are_decided_by_the_routers_rules() -> None:
    server = ScriptedServer()
    group = server.create(OTHER, [ME])
    end = greeted(server)
    answers = told(
        end,
        said("a", "s1", group),
        said("a", "s1", group),
        said("other", "s1", group),
        said("c", "s3", group, after="s2"),
        said("b", "s2", group, join=9),
    )
    assert names(answers) == ["Accepted", "Accepted", "RefusedEvent", "Undecided", "Undecided"]
    assert [answer.code for answer in answers if isinstance(answer, ev.Undecided | ev.RefusedEvent)] == [
        "send_id_conflict", "out_of_turn", "not_taken",
    ]  # fmt: skip


def test_a_test_can_have_it_be_busy() -> None:
    server = ScriptedServer()
    group = server.create(OTHER, [ME])
    server.busy.append("no_answer")
    end = greeted(server)
    assert names(told(end, said("a", "s1", group), said("a", "s1", group))) == ["Undecided", "Accepted"]


def test_a_removal_ends_and_a_new_join_begins() -> None:
    server = ScriptedServer()
    group = server.create(OTHER, [ME])
    end = greeted(server)
    told(end, ev.Resume(others=True))
    server.change(group, OTHER, kinds.REMOVED, bodies.Removed(user=ME))
    server.say(group, OTHER, "not for me")
    server.change(group, OTHER, kinds.ADDED, bodies.Added(users=(ME,)))
    assert names(heard(end)) == ["EntryEvent", "Ended", "JoinedEvent", "EntryEvent", "Recovered"]


def test_positions_are_judged() -> None:
    server = ScriptedServer()
    group = server.create(OTHER, [ME])
    server.say(group, OTHER, "a")
    position = str(server.state(group).head.position)
    server.say(group, OTHER, "b")
    end = greeted(server)
    assert names(told(end, ev.Resume(groups={group: position}))) == ["EntryEvent", "Recovered"]
    server.restored(group, 1)
    end = greeted(server)
    assert names(told(end, ev.Resume(groups={group: position}))) == ["Reset", "Snapshot", "Recovered"]
    assert server.resets == 1
    assert server.state(group).head.epoch == 2
    server.say(group, OTHER, "new life")
    assert server.log(group)[-1].epoch == 2


def test_strangers_are_told_of_nothing() -> None:
    server = ScriptedServer()
    group = server.create(OTHER)
    end = greeted(server)
    assert told(end, ev.Resume(groups={group: "", "gnowhere": ""})) == [
        ev.Failed(code="no_such_group", ref=group),
        ev.Failed(code="no_such_group", ref="gnowhere"),
    ]


def test_small_talk() -> None:
    end = greeted(ScriptedServer())
    assert told(end, ev.Ping(ref="1"), ev.ListGroups(ref="2"), ev.Refresh(token=ME), ev.Ack(groups={})) == [
        ev.Pong(ref="1"),
        ev.GroupList(ref="2", groups=[]),
        ev.Refreshed(),
    ]
    assert names(list(end.heard)) == ["Hello", "Ping", "ListGroups", "Refresh", "Ack"]
