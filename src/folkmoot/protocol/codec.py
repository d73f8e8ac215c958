"""Bytes to events and back. JSON is the first codec; another has its own sub-protocol name and the same four calls."""

from typing import Protocol, TypeVar

import msgspec

from folkmoot.model.entry import Entry
from folkmoot.model.position import text_at
from folkmoot.protocol.events import (
    SUBPROTOCOL_JSON,
    ClientEvent,
    EntryEvent,
    EntryRow,
    Event,
    ServerEvent,
    UnknownEvent,
)

E = TypeVar("E", bound=EntryEvent)


class FrameInvalid(ValueError):
    """The frame is not an event. `code` is a code of the error table."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Codec(Protocol):
    """One encoding of events. `text`: whether a frame is a WebSocket text frame."""

    subprotocol: str
    text: bool

    def encode(self, event: Event) -> bytes: ...

    def decode_client(self, frame: bytes | memoryview) -> ClientEvent:
        """A client's event. Raises FrameInvalid (`not_json`, `bad_event`)."""

    def decode_server(self, frame: bytes | memoryview) -> ServerEvent | UnknownEvent:
        """A server's event; one of a newer server is an UnknownEvent. Raises FrameInvalid."""


class _Tag(msgspec.Struct):
    t: str = ""


class JsonCodec:
    """The codec of `folkmoot.v1.json`: one JSON object a frame, named by its `t`."""

    subprotocol = SUBPROTOCOL_JSON
    text = True

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._client: msgspec.json.Decoder[ClientEvent] = msgspec.json.Decoder(ClientEvent)
        self._server: msgspec.json.Decoder[ServerEvent] = msgspec.json.Decoder(ServerEvent)
        self._tag = msgspec.json.Decoder(_Tag)
        self._server_tags = {event.__struct_config__.tag for event in ServerEvent.__args__}

    def encode(self, event: Event) -> bytes:
        return self._encoder.encode(event)

    def decode_client(self, frame: bytes | memoryview) -> ClientEvent:
        try:
            return self._client.decode(frame)
        except msgspec.ValidationError as error:
            raise FrameInvalid("bad_event", str(error)[:200]) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise FrameInvalid("not_json", str(error)[:200]) from error

    def decode_server(self, frame: bytes | memoryview) -> ServerEvent | UnknownEvent:
        try:
            return self._server.decode(frame)
        except msgspec.ValidationError as error:
            try:
                name = self._tag.decode(frame).t
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                name = ""
            if name and name not in self._server_tags:
                return UnknownEvent(name=name)
            raise FrameInvalid("bad_event", str(error)[:200]) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise FrameInvalid("not_json", str(error)[:200]) from error


JSON = JsonCodec()
CODECS: dict[str, Codec] = {JSON.subprotocol: JSON}


def entry_event(entry: Entry) -> EntryEvent:
    """What clients are shown of an entry."""
    return _shown(EntryEvent, entry)


def entry_row(entry: Entry) -> EntryRow:
    """The same, as a row of a page."""
    return _shown(EntryRow, entry)


def _shown(shape: type[E], entry: Entry) -> E:
    return shape(
        group=entry.group,
        seq=entry.seq,
        position=text_at(entry.epoch, entry.seq, entry.hash),
        kind=entry.kind,
        sender=entry.sender,
        device=entry.device,
        id=entry.send_id,
        time_ms=entry.time_ms,
        messages=entry.messages,
        body=msgspec.Raw(b"null") if entry.body is None else msgspec.Raw(entry.body),
    )
