"""The pair carries frames in order, loses what is in a link that is cut, and a kill loses what was not kept."""

from folkmoot.client.received import Received
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import JSON
from folkmoot.testing.scripted_server import ScriptedServer
from folkmoot.testing.session_pair import PlayedClient, SessionPair

ME = "user-1"
OTHER = "user-2"


def paired() -> tuple[SessionPair, str]:
    server = ScriptedServer()
    pair = SessionPair(PlayedClient(), server, ME)
    group = server.create(OTHER, [ME])
    pair.settle()
    return pair, group


def texts(pair: SessionPair, group: str) -> list[str]:
    return [entry.text for entry in pair.client.entries(group)]


def test_frames_arrive_when_they_are_let() -> None:
    pair, group = paired()
    for text in "abc":
        pair.server.say(group, OTHER, text)
    assert pair.deliver_to_client(2) == 2
    pair.flush()
    assert texts(pair, group) == ["a", "b"]
    assert pair.deliver_to_client() == 1
    pair.flush()
    assert texts(pair, group) == ["a", "b", "c"]
    assert pair.deliver_to_client() == 0


def test_what_is_in_a_link_that_is_cut_is_lost() -> None:
    pair, group = paired()
    pair.server.say(group, OTHER, "a")
    pair.cut()
    assert not pair.to_client
    pair.pass_time(1.0)
    assert pair.deliver_to_client() == pair.deliver_to_server() == 0
    pair.settle()
    assert texts(pair, group) == ["a"]
    pair.cut()
    pair.cut()


def test_a_kill_takes_what_was_not_committed_of_both_sides_of_the_commit() -> None:
    pair, group = paired()
    pair.server.say(group, OTHER, "kept")
    pair.deliver_to_client()
    pair.flush()
    pair.server.say(group, OTHER, "not kept")
    pair.deliver_to_client()
    pair.crash()
    assert texts(pair, group) == ["kept"]
    assert pair.client.store.load().places[group].seq == 2
    pair.settle()
    assert texts(pair, group) == ["kept", "not kept"]


def test_a_clone_has_the_same_store_and_shares_nothing() -> None:
    pair, group = paired()
    other = SessionPair(pair.client.cloned(), pair.server, ME)
    pair.server.say(group, OTHER, "a")
    pair.settle()
    assert other.client.store.load().places[group].seq == 1
    other.settle()
    assert texts(other, group) == ["a"]


def test_an_entry_can_be_lost_and_a_frame_doubled() -> None:
    pair, group = paired()
    assert not pair.drop_entry()
    assert not pair.double()
    for text in "abc":
        pair.server.say(group, OTHER, text)
    assert pair.drop_entry(1)
    assert pair.double(0)
    said = [JSON.decode_server(frame) for frame in pair.to_client]
    assert [event.seq for event in said if isinstance(event, ev.EntryEvent)] == [2, 4, 2]


def test_settled_is_when_nothing_is_left_to_come() -> None:
    pair, group = paired()
    for number in range(50):
        pair.server.say(group, OTHER, f"m{number}")
    pair.settle()
    assert len(texts(pair, group)) == 50
    assert isinstance(pair.client.applied[-1], Received)
