"""The table of a connection's states, and what each end does with it."""

import pytest

from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import JSON, FrameInvalid
from folkmoot.protocol.limits import FRAME_BYTES_MAX
from folkmoot.protocol.session import CLIENT_MAY, ClientSession, ServerSession, State

HELLO = ev.Hello(token="t", versions=[1])
WELCOME = ev.Welcome(user="u", device="", version=1, time_ms=1, ping_interval_ms=1)


def ready() -> ServerSession:
    session = ServerSession(JSON)
    session.receive(JSON.encode(HELLO))
    session.send(WELCOME)
    return session


def test_only_a_hello_comes_first_and_never_again() -> None:
    session = ServerSession(JSON)
    with pytest.raises(FrameInvalid) as raised:
        session.receive(JSON.encode(ev.Ping()))
    assert raised.value.code == "out_of_state"
    assert session.receive(JSON.encode(HELLO)) == HELLO
    session.send(WELCOME)
    assert session.receive(JSON.encode(ev.Ping(ref="x"))) == ev.Ping(ref="x")
    with pytest.raises(FrameInvalid):
        session.receive(JSON.encode(HELLO))


def test_after_goodbye_nothing_is_taken() -> None:
    session = ready()
    session.send(ev.Goodbye(code="idle"))
    assert session.state is State.CLOSED
    with pytest.raises(FrameInvalid):
        session.receive(JSON.encode(ev.Ping()))


def test_a_frame_over_its_bound_is_not_even_parsed() -> None:
    with pytest.raises(FrameInvalid) as raised:
        ready().receive(b"x" * (FRAME_BYTES_MAX + 1))
    assert raised.value.code == "frame_too_large"
    longest = JSON.encode(ev.Ping()) + b" " * (FRAME_BYTES_MAX - len(JSON.encode(ev.Ping())))
    assert ready().receive(longest) == ev.Ping()


def test_every_client_event_has_a_state() -> None:
    allowed = {kind for kinds in CLIENT_MAY.values() for kind in kinds}
    assert allowed == set(ev.ClientEvent.__args__)


def test_what_a_client_says_early_waits_for_the_welcome_in_order() -> None:
    client, server = ClientSession(JSON), ServerSession(JSON)
    assert client.send(ev.Ping(ref="1")) == []
    (hello,) = client.send(HELLO)
    assert client.send(ev.Ping(ref="2")) == []
    server.receive(hello)
    event, waiting = client.receive(server.send(WELCOME))
    assert event == WELCOME
    assert [server.receive(frame) for frame in waiting] == [ev.Ping(ref="1"), ev.Ping(ref="2")]
    event, waiting = client.receive(server.send(ev.Goodbye(code="idle")))
    assert waiting == []
    assert client.send(ev.Ping()) == []
