"""What a tap notices on a connection, though the client at its end would mend it."""

from folkmoot.model.position import Position
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import JSON
from folkmoot.testing.wire_tap import WireTap


class Watching:
    """A world that knows one token and stores nothing."""

    def __init__(self) -> None:
        self.breaches: list[str] = []
        self.now_ms = 1_000
        self.sent: list[tuple[str, int]] = []

    def breach(self, law: str, what: str) -> None:
        self.breaches.append(law)

    def given(self, user: str, group: str, seq: int, position: str) -> None:
        self.sent.append((user, seq))

    def is_stored(self, group: str, seq: int, send_id: str) -> bool:
        return send_id == "stored"

    def expires_ms(self, token: str) -> int:
        return 10_000


def position(seq: int) -> str:
    return str(Position(1, seq, b"12345678"))


def entry(seq: int) -> ev.Event:
    return ev.EntryEvent(
        group="g", seq=seq, position=position(seq), kind="message", sender="user-2", device="", id="s", time_ms=0,
        messages=seq,
    )  # fmt: skip


def tapped(*events: ev.Event) -> Watching:
    """What a tap says of these events, the client having given position 4 of the group."""
    watch = Watching()
    tap = WireTap(watch, "a connection", lambda: watch.now_ms)
    tap.came(JSON.encode(ev.Hello(token="t", versions=[1])))
    tap.came(JSON.encode(ev.Resume(groups={"g": position(4)})))
    welcome = ev.Welcome(user="user-1", device="", version=1, time_ms=0, ping_interval_ms=1)
    for event in (welcome, *events):
        if isinstance(event, ev.Pong):
            watch.now_ms = 60_000  # Time passes.
        tap.went(JSON.encode(event) + b"\n")
    return watch


RECOVERED = ev.Recovered(group="g", position=position(5), seq=5)


def test_entries_from_the_position_on_are_as_they_have_to_be() -> None:
    watch = tapped(entry(5), RECOVERED, entry(6))
    assert watch.breaches == []
    assert watch.sent == [("user-1", 5), ("user-1", 6)]


def test_a_gap_a_double_and_a_place_never_given_are_noticed() -> None:
    assert tapped(entry(6)).breaches == ["wire"]
    assert tapped(entry(5), entry(5)).breaches == ["wire"]
    assert tapped(RECOVERED).breaches == ["wire"]
    assert tapped(ev.Ended(group="g", seq=9)).breaches == ["wire"]


def test_an_acknowledgement_of_what_is_not_stored_is_noticed() -> None:
    assert tapped(ev.Accepted(id="stored", group="g", seq=1)).breaches == []
    assert tapped(ev.Accepted(id="lost", group="g", seq=1)).breaches == ["durable"]


def test_a_connection_that_outlives_its_token_is_noticed() -> None:
    assert tapped(entry(5), ev.Pong(), entry(6)).breaches == ["expired"]
