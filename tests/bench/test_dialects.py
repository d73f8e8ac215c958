"""Each kind of server is joined, sent to and understood; what turns the load away is told with its words."""

import json

import msgspec
import pytest

from folkmoot.bench.client import Client
from folkmoot.bench.dialects import DIALECTS, Dialect, Refused
from folkmoot.bench.jobs import Job
from folkmoot.bench.traffic import Sends
from folkmoot.bench.wire import next_frame, stamp

STAMP = stamp("t", 5_000_000).encode()

# What each server says until a socket has joined, and what the load answers begins with; the last makes it live.
JOINING: dict[str, list[tuple[bytes, bytes]]] = {
    "folkmoot": [(b'{"t":"welcome"}', b""), (b'{"t":"recovered","group":"ga","seq":7}', b"")],
    "floor": [(b"k", b"")],
    "centrifuge": [(b'{"id":1,"connect":{"ping":25}}', b""), (b'{"id":2,"subscribe":{}}', b"")],
    "socketio": [(b'0{"sid":"a"}', b"40"), (b'40{"sid":"b"}', b'420["join","g1"]'), (b"430[]", b"")],
    "starlette": [(b'{"type":"joined"}', b"")],
    "xmpp": [
        (b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' id='1'/>", b""),
        (b"<stream:features><mechanisms/></stream:features>", b"<auth "),
        (b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", b"<open "),
        (b"<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>", b"<iq "),
        (b"<iq type='result' id='bind'/>", b"<presence "),
        (b"<presence from='g1@conference.localhost/user-1'><x><item/></x></presence>", b""),
        (b"<presence from='g1@conference.localhost/user-2'><x><status code='110'/></x></presence>", b""),
    ],
}  # fmt: skip

DELIVERIES: dict[str, bytes] = {
    "folkmoot": b'{"t":"entry","group":"gb","seq":8,"id":"%b","body":{"text":"x"}}',
    "floor": b'{"t":"entry","group":"gb","seq":1,"id":"%b","body":{"text":"x"}}',
    "centrifuge": b'{"push":{"channel":"g1","pub":{"data":{"id":"%b","text":"x"}}}}',
    "socketio": b'42["message",{"id":"%b","text":"x"}]',
    "starlette": b'{"type":"message","id":"%b","text":"x"}',
    "xmpp": b"<message from='g1@conference.localhost/user-2' type='groupchat' id='%b'><stanza-id id='9'/></message>",
}

TURNED_AWAY: dict[str, bytes] = {
    "folkmoot": b'{"t":"goodbye","code":"token_invalid"}',
    "centrifuge": b'{"id":2,"error":{"code":107}}',
    "socketio": b'44{"message":"no"}',
    "xmpp": b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
}


def job_of(dialect: str, **what: object) -> Job:
    given = {"host": "127.0.0.1", "port": 80, "secret": "s" * 40, "sources": ["127.0.0.1"], "members": 1}
    return msgspec.convert(given | {"groups": ["ga", "gb"], "dialect": dialect, "text_bytes": 9} | what, Job)


def dialect_of(name: str) -> tuple[Dialect, Client]:
    return DIALECTS[name](job_of(name)), Client(1, 1, "user-2")


def payload(frame: bytes) -> bytes:
    """What is in a client's frame: its mask is of zeros."""
    size = frame[1] & 0x7F
    return frame[8:] if size == 126 else frame[6:]


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_a_socket_joins_its_group(name: str) -> None:
    dialect, client = dialect_of(name)
    first = dialect.first(client)
    if dialect.websocket:
        assert first.startswith(f"GET {dialect.path} HTTP/1.1\r\n".encode())
        assert (b"Sec-WebSocket-Protocol" in first) == bool(dialect.subprotocol)
        dialect.shaken(client, 0)
    for heard, answer in JOINING[name]:
        assert not client.live
        said = dialect.heard(client, heard)
        assert payload(said).startswith(answer) if answer else said == b""
    assert client.live


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_a_delivery_is_told_with_its_time(name: str) -> None:
    dialect, client = dialect_of(name)
    client.live, client.seq = True, 7 if name == "folkmoot" else -1
    job = job_of(name)
    traffic = Sends(job, [client], lambda *_: None)
    traffic.end_ns = 9_000_000
    data = DELIVERIES[name] % STAMP
    assert data.startswith(dialect.entry)
    traffic.entry(client, data, 0, len(data), 8_000_000)
    assert (traffic.tally.delivered, traffic.tally.out_of_order) == (1, 0)
    assert traffic.done().deliveries.quantile_ms(0.5) == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize("name", sorted(TURNED_AWAY))
def test_words_that_turn_it_away_are_told(name: str) -> None:
    dialect, client = dialect_of(name)
    with pytest.raises(Refused, match=r"token_invalid|107|no|failure"):
        dialect.heard(client, TURNED_AWAY[name])


@pytest.mark.parametrize(("name", "asked", "answer"), [("centrifuge", b"{}", b"{}"), ("socketio", b"2", b"3")])
def test_what_asks_whether_it_is_there_is_answered(name: str, asked: bytes, answer: bytes) -> None:
    dialect, client = dialect_of(name)
    client.live = True
    assert payload(dialect.heard(client, asked)) == answer


@pytest.mark.parametrize("name", sorted(set(DIALECTS) - {"floor", "xmpp", "socketio"}))
def test_a_send_has_the_stamp_and_the_text(name: str) -> None:
    dialect, client = dialect_of(name)
    said = json.loads(payload(dialect.sent(client, STAMP)))
    message = said["publish"]["data"] if name == "centrifuge" else said
    assert message["id"].encode() == STAMP
    assert message.get("text", message.get("body", {"text": ""})) in ("x" * 9, {"text": "x" * 9})


def test_rooms_of_other_servers_are_numbered() -> None:
    for name, where in (("socketio", b'42["send",{'), ("xmpp", b"to='g1@conference.localhost'")):
        dialect, client = dialect_of(name)
        said = payload(dialect.sent(client, STAMP))
        assert where in said
        assert STAMP in said
        assert b"x" * 9 in said


def test_the_floor_gets_the_frame_of_an_entry() -> None:
    dialect, client = dialect_of("floor")
    for seq in (1, 2):
        said = dialect.sent(client, STAMP)
        assert said[:4] == (1).to_bytes(4, "big")
        assert int.from_bytes(said[4:8], "big") == len(said) - 8
        _, start, end = next_frame(said, 8)
        assert json.loads(said[start:end])["seq"] == seq


def test_of_several_under_way_the_floor_keeps_no_order() -> None:
    # It passes on whatever socket is ready first: a gap would be no loss.
    assert DIALECTS["floor"](job_of("floor")).numbered
    assert not DIALECTS["floor"](job_of("floor", under_way=2)).numbered
    assert DIALECTS["folkmoot"](job_of("folkmoot", under_way=2)).numbered
    # At a rate nobody waits for the one before, and so many under way mean nothing.
    assert DIALECTS["floor"](job_of("floor", under_way=2, rate_per_s=5.0)).numbered
