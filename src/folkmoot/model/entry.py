"""An entry: what a group's log holds, and the chain of hashes that fixes the order."""

import hashlib
import struct
from collections.abc import Iterable
from typing import Final

import msgspec

from folkmoot.model.ids import DeviceId, GroupId, SendId, UserId

CREATED: Final = "group.created"
RENAMED: Final = "group.renamed"
DELETED: Final = "group.deleted"
MESSAGE: Final = "message"
JOINED: Final = "member.joined"
ADDED: Final = "member.added"
LEFT: Final = "member.left"
REMOVED: Final = "member.removed"
ROLE: Final = "member.role"
KINDS: Final = frozenset({CREATED, RENAMED, DELETED, MESSAGE, JOINED, ADDED, LEFT, REMOVED, ROLE})

SALT_BYTES: Final = 16
_NUMBERS: Final = struct.Struct(">QQQQ").pack
_LENGTH: Final = struct.Struct(">I").pack


class Entry(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One immutable entry of one group's log.

    `messages` counts the messages up to and with this entry, so that unread is a subtraction. `body` is the JSON of
    the kind's body; it and `salt` are None once erased, while `digest` and `hash` stay: erasing keeps the chain.
    """

    group: GroupId
    epoch: int
    seq: int
    kind: str
    sender: UserId
    device: DeviceId
    send_id: SendId
    time_ms: int
    messages: int
    body: bytes | None
    salt: bytes | None
    digest: bytes
    hash: bytes


def genesis(group: GroupId) -> bytes:
    """The hash that stands before a group's first entry: 32 bytes."""
    return hashlib.sha256(b"folkmoot log\0" + group.encode()).digest()


def body_digest(salt: bytes, body: bytes) -> bytes:
    """The salted digest of a body: once salt and body are erased it leaves nothing to guess from."""
    return hashlib.sha256(salt + body).digest()


def sealed(
    before: bytes,
    *,
    group: GroupId,
    epoch: int,
    seq: int,
    kind: str,
    sender: UserId,
    device: DeviceId,
    send_id: SendId,
    time_ms: int,
    messages: int,
    body: bytes,
    salt: bytes,
) -> Entry:
    """The entry that follows the hash `before`, with its digest and its own hash."""
    digest = body_digest(salt, body)
    header = _header(group, epoch, seq, kind, sender, device, send_id, time_ms, messages)
    return Entry(
        group=group,
        epoch=epoch,
        seq=seq,
        kind=kind,
        sender=sender,
        device=device,
        send_id=send_id,
        time_ms=time_ms,
        messages=messages,
        body=body,
        salt=salt,
        digest=digest,
        hash=hashlib.sha256(before + header + digest).digest(),
    )


def follows(before: bytes, entry: Entry) -> bool:
    """Whether `entry` chains on the hash `before` and its body, where it still has one, is the one sealed."""
    e = entry
    header = _header(e.group, e.epoch, e.seq, e.kind, e.sender, e.device, e.send_id, e.time_ms, e.messages)
    if hashlib.sha256(before + header + e.digest).digest() != e.hash:
        return False
    if e.body is None or e.salt is None:
        return e.body is None and e.salt is None
    return body_digest(e.salt, e.body) == e.digest


def first_break(before: bytes, seq_before: int, entries: Iterable[Entry]) -> int | None:
    """The seq of the first of `entries` that does not continue the chain, or None where all do."""
    for entry in entries:
        if entry.seq != seq_before + 1 or not follows(before, entry):
            return entry.seq
        before, seq_before = entry.hash, entry.seq
    return None


def _header(
    group: str, epoch: int, seq: int, kind: str, sender: str, device: str, send_id: str, time_ms: int, messages: int
) -> bytes:
    numbers = _NUMBERS(epoch, seq, time_ms, messages)
    texts = (group.encode(), kind.encode(), sender.encode(), device.encode(), send_id.encode())
    # Lengths before texts, so that no two headers have the same bytes. Written out: it is made twice a message.
    a, b, c, d, e = map(_LENGTH, map(len, texts))
    return b"".join((numbers, a, texts[0], b, texts[1], c, texts[2], d, texts[3], e, texts[4]))
