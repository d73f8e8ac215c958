"""The names things have, and how a group and its partition are derived from them."""

import base64
import hashlib
import zlib
from typing import TypeAlias

UserId: TypeAlias = str
GroupId: TypeAlias = str
DeviceId: TypeAlias = str
SendId: TypeAlias = str

PARTITIONS = 1_024
NAME_CHARS_MAX = 128


def is_name(text: str) -> bool:
    """Whether `text` can name a user, a device or a send: 1 to 128 printable characters, no white space."""
    return 0 < len(text) <= NAME_CHARS_MAX and text.isprintable() and " " not in text


def group_id(creator: UserId, send_id: SendId) -> GroupId:
    """The id of the group that `creator` makes with `send_id`: a retried creation names the same group."""
    digest = hashlib.sha256(b"folkmoot group\0" + creator.encode() + b"\0" + send_id.encode()).digest()
    return "g" + base64.b32encode(digest[:15]).decode().lower()


def partition_of(name: GroupId | UserId) -> int:
    """The partition, 0 to 1,023, that a group or a user belongs to. Never changes: subjects are named by it."""
    return zlib.crc32(name.encode()) % PARTITIONS
