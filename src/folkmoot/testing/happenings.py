"""What is seen of a simulated run, in the order in which it happened: for verdicts, timelines, and to compare runs."""

from typing import TypeAlias

import msgspec


class _Happening(msgspec.Struct, frozen=True, array_like=True, tag=True, kw_only=True):
    """`at_ms` is simulated time, in whole milliseconds from the start of the run."""

    at_ms: int


class Asked(_Happening, frozen=True):
    """A client kept a send in its outbox: from now on it may be in the log. `who` is the client's machine."""

    who: str
    user: str
    group: str
    send_id: str
    kind: str
    body: bytes


class Told(_Happening, frozen=True):
    """A client's application was told what became of a send: its seq, or a code and whether that is for good."""

    who: str
    user: str
    group: str
    send_id: str
    seq: int | None
    code: str
    definite: bool


class Took(_Happening, frozen=True):
    """A client committed an entry: applied, with the place after it."""

    who: str
    user: str
    group: str
    seq: int
    position: str
    kind: str
    sender: str
    send_id: str
    messages: int
    body: bytes


class Heard(_Happening, frozen=True):
    """A client committed an event beside entries: `joined`, `snapshot`, `recovered`, `reset` or `ended`."""

    who: str
    user: str
    group: str
    event: str
    seq: int
    position: str = ""
    join: int = 0
    name: str = ""
    role: str = ""
    members: int = 0
    messages: int = 0
    unread: int = 0
    read: int = 0


class Stored(_Happening, frozen=True):
    """The store made an entry durable."""

    group: str
    epoch: int
    seq: int
    kind: str
    sender: str
    send_id: str
    hash: bytes


class Refused(_Happening, frozen=True):
    """The store made a refusal durable."""

    group: str
    sender: str
    send_id: str
    code: str


class Pushed(_Happening, frozen=True):
    """Entries were put on the bus: by a router (`entries`) or by a delivery (`push`)."""

    who: str
    subject: str
    group: str
    seq: int


class Faulted(_Happening, frozen=True):
    """A fault began, or ended (`on` False)."""

    kind: str
    target: str
    detail: str = ""
    on: bool = True


class Noted(_Happening, frozen=True):
    """Something in the life of a process: it started, was killed, connected, lost its connection."""

    who: str
    what: str
    detail: str = ""


Happening: TypeAlias = Asked | Told | Took | Heard | Stored | Refused | Pushed | Faulted | Noted
