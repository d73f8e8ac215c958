"""The list of chats: my groups by their last activity, computed when it is read; nothing is written for it, ever."""

import asyncio
import base64
import binascii
import struct
from typing import Final

import msgspec

from folkmoot.gateway.queries import Queries, QueryRefused
from folkmoot.model.entry import Entry
from folkmoot.model.ids import GroupId, UserId
from folkmoot.model.membership import Span
from folkmoot.ports.store import Store
from folkmoot.protocol.events import GroupRow
from folkmoot.protocol.limits import LIST_ROWS_MAX, PAGE_BYTES_MAX

GROUPS_MAX: Final = 10_000
"""Of one user, put in order for a page: past it those that come later by id are left out, and `groups` has them all."""

TIMES_MAX: Final = 1_000
"""Last times that the store is asked for at once."""


class Place(msgspec.Struct, frozen=True, order=True):
    """Where a group stands in the list: the time of its last entry, then its id. `str()` is a cursor."""

    time_ms: int
    group: GroupId

    def __str__(self) -> str:
        raw = _TIME.pack(self.time_ms) + self.group.encode()
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """One group in the list, as it was at one moment: how far it is read, and its last entry."""

    group: GroupRow
    read: int
    last: Entry


_TIME: Final = struct.Struct(">Q")


def parse_place(cursor: str) -> Place:
    """The place that a cursor names. Raises QueryRefused."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return Place(_TIME.unpack(raw[: _TIME.size])[0], raw[_TIME.size :].decode())
    except (binascii.Error, struct.error, ValueError) as error:
        raise QueryRefused("bad_cursor") from error


class Chats:
    """Reads through one user's eyes, as `Queries` does. Raises what it raises."""

    def __init__(self, store: Store, queries: Queries) -> None:
        self._store = store
        self._queries = queries

    async def page(self, user: UserId, *, cursor: str, limit: int) -> tuple[list[Chat], str | None]:
        """The chats after the cursor ("": from the newest on), and the cursor of the next page.

        A group that moves while one pages comes again, or only on the next reading from the start.
        """
        before = parse_place(cursor) if cursor else None
        places = await self._places(user)
        if before is not None:
            places = [place for place in places if place < before]
        places.sort(reverse=True)
        shown = places[:limit]
        chats = await asyncio.gather(*(self._chat(user, place.group) for place in shown))
        return [chat for chat in chats if chat is not None], str(shown[-1]) if len(places) > limit else None

    async def _places(self, user: UserId) -> list[Place]:
        groups: list[GroupId] = []
        while len(groups) < GROUPS_MAX:
            rows = await self._store.groups_of(user, after=groups[-1] if groups else "", rows_max=LIST_ROWS_MAX)
            groups += rows
            if len(rows) < LIST_ROWS_MAX:
                break
        places: list[Place] = []
        for start in range(0, len(groups), TIMES_MAX):
            times = await self._store.last_times(groups[start : start + TIMES_MAX])
            places += [Place(time_ms, group) for group, time_ms in times.items()]
        return places

    async def _chat(self, user: UserId, group: GroupId) -> Chat | None:
        try:
            view, membership = await self._queries.view(user, group)
        except QueryRefused:
            return None  # The list of a user's groups is a superset: each is checked against the group.
        head = Span(view.head.seq, view.head.seq)
        row, page = await asyncio.gather(
            self._queries.row(view, membership),
            self._store.read(group, head, entries_max=1, bytes_max=PAGE_BYTES_MAX),
        )
        return Chat(group=row, read=view.read, last=page[0]) if page else None
