"""One connection's rules, as a table: which event may come when. No socket, no clock; both ends are here."""

import enum
from collections import deque
from typing import Final

from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import Codec, FrameInvalid
from folkmoot.protocol.limits import FRAME_BYTES_MAX


class State(enum.Enum):
    """Where a connection stands."""

    # There is one of each, so its identity will do; Enum's own is a call in Python, for each frame that comes.
    __hash__ = object.__hash__

    OPENED = "opened"
    READY = "ready"
    CLOSED = "closed"


_REQUESTS: Final = (
    ev.Refresh, ev.Resume, ev.Ack, ev.Send, ev.Read, ev.ListGroups, ev.ListMembers, ev.MarkRead, ev.Ping,
)  # fmt: skip

CLIENT_MAY: Final[dict[State, tuple[type[ev.Event], ...]]] = {
    State.OPENED: (ev.Hello,),
    State.READY: _REQUESTS,
    State.CLOSED: (),
}
"""What a client may send in each state. `welcome` moves OPENED to READY, `goodbye` moves any to CLOSED."""


class ServerSession:
    """The server's end: frames in, events out, each checked against the table."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.state = State.OPENED

    def receive(self, frame: bytes | memoryview) -> ev.ClientEvent:
        """The event in `frame`. Raises FrameInvalid: the connection is to be ended with its code."""
        if len(frame) > FRAME_BYTES_MAX:
            raise FrameInvalid("frame_too_large", f"{len(frame)} bytes, at most {FRAME_BYTES_MAX}")
        event = self.codec.decode_client(frame)
        if not isinstance(event, CLIENT_MAY[self.state]):
            raise FrameInvalid("out_of_state", f"no {type(event).__name__} while {self.state.value}")
        return event

    def send(self, event: ev.Event) -> bytes:
        """The frame of `event`."""
        if isinstance(event, ev.Welcome):
            self.state = State.READY
        elif isinstance(event, ev.Goodbye):
            self.state = State.CLOSED
        return self.codec.encode(event)


class ClientSession:
    """The client's end: what it sends before `welcome`, but for `hello`, waits here in order."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.state = State.OPENED
        self._waiting: deque[ev.Event] = deque()

    def send(self, event: ev.Event) -> list[bytes]:
        """The frames to write now: none while `event` has to wait for `welcome`, or once closed."""
        if self.state is State.CLOSED:
            return []
        if isinstance(event, CLIENT_MAY[self.state]):
            return [self.codec.encode(event)]
        self._waiting.append(event)
        return []

    def receive(self, frame: bytes | memoryview) -> tuple[ev.ServerEvent | ev.UnknownEvent, list[bytes]]:
        """The event in `frame`, and the frames that waited for it. Raises FrameInvalid."""
        event = self.codec.decode_server(frame)
        frames: list[bytes] = []
        if isinstance(event, ev.Welcome):
            self.state = State.READY
            frames = [self.codec.encode(waiting) for waiting in self._waiting]
            self._waiting.clear()
        elif isinstance(event, ev.Goodbye):
            self.state = State.CLOSED
        return event, frames
