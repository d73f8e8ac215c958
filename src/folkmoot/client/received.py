"""What the application gets: entries and events of its groups, in order, in batches that are committed whole."""

from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

import msgspec

from folkmoot.model.ids import DeviceId, GroupId, SendId, UserId
from folkmoot.protocol import events as ev


class Received(msgspec.Struct, frozen=True):
    """One entry of a group's log. `raw` is the JSON of its body, `null` once erased; it is parsed when asked for."""

    group: GroupId
    seq: int
    position: str
    kind: str
    sender: UserId
    device: DeviceId
    send_id: SendId
    time_ms: int
    messages: int
    raw: msgspec.Raw

    @property
    def body(self) -> dict[str, Any] | None:
        """The body as its kind has it, None once erased."""
        body: dict[str, Any] | None = _BODY.decode(self.raw)
        return body

    @property
    def text(self) -> str:
        """A message's text; "" where it has none, was erased, or is not a message."""
        return self._message().text

    @property
    def type(self) -> str:
        """The application's own type of a message, or ""."""
        return self._message().type

    @property
    def data(self) -> Any:
        """The application's own data of a message, or None."""
        return self._message().data

    def _message(self) -> "_Message":
        return (_MESSAGE.decode(self.raw) or _NO_MESSAGE) if self.kind == "message" else _NO_MESSAGE


class _Message(msgspec.Struct, frozen=True):
    text: str = ""
    type: str = ""
    data: Any = None


_NO_MESSAGE: Final = _Message()
_MESSAGE: Final = msgspec.json.Decoder(_Message | None)
_BODY: Final = msgspec.json.Decoder(dict[str, Any] | None)

GroupEvent: TypeAlias = ev.JoinedEvent | ev.Snapshot | ev.Recovered | ev.Reset | ev.Ended
"""What happens to the client in a group beside entries; `spec/protocol.md` says what each means."""


class Hidden(msgspec.Struct, frozen=True):
    """An entry of a kind that this version does not know: the place moves past it, and nothing is shown."""

    group: GroupId
    seq: int
    position: str


Item: TypeAlias = Received | GroupEvent | Hidden


class Batch:
    """What came in between two commits, in order: committed as a whole, or not at all."""

    __slots__ = ("items",)

    def __init__(self, items: Iterable[Item]) -> None:
        self.items: list[Received | GroupEvent] = [item for item in items if not isinstance(item, Hidden)]
        """Entries and events, in order: what a `reset` or an `ended` makes void stands before it."""

    @property
    def entries(self) -> list[Received]:
        """The entries, in order within each group."""
        return [item for item in self.items if isinstance(item, Received)]

    def __iter__(self) -> Iterator[Received]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def received_of(event: ev.EntryEvent) -> Received:
    """The entry as the application gets it."""
    return Received(
        event.group,
        event.seq,
        event.position,
        event.kind,
        event.sender,
        event.device,
        event.id,
        event.time_ms,
        event.messages,
        event.body,
    )


def last_of_each_group(items: Iterable[Item]) -> dict[GroupId, Item]:
    """The last item of each group: it says where the client stands there after all of them."""
    return {item.group: item for item in items}
