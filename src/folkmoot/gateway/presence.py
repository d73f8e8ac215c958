"""Who is connected to this edge, and delivery's knowing it, so that a user added somewhere is told here."""

import asyncio
from collections.abc import Sequence

import msgspec

from folkmoot.model.ids import UserId, partition_of
from folkmoot.ports import subjects
from folkmoot.ports.bus import Bus, BusClosed, NoAnswer
from folkmoot.ports.subjects import Online

ONLINE_TIMEOUT_S = 2.0
USERS_PER_MESSAGE_MAX = 1_000


class Presence:
    """The users with a connection here, by user; what delivery has acknowledged of them."""

    def __init__(self, edge: str, bus: Bus) -> None:
        self._edge = edge
        self._bus = bus
        self._counts: dict[UserId, int] = {}
        # None: done, and acknowledged. A task that is over would be kept for as long as the user is here.
        self._told: dict[UserId, asyncio.Task[bool] | None] = {}
        self._gone: dict[UserId, None] = {}

    def add(self, user: UserId) -> None:
        self._counts[user] = self._counts.get(user, 0) + 1
        self._gone.pop(user, None)

    def remove(self, user: UserId) -> None:
        left = self._counts.get(user, 0) - 1
        if left > 0:
            self._counts[user] = left
            return
        self._counts.pop(user, None)
        self._told.pop(user, None)
        self._gone[user] = None

    def users(self) -> list[UserId]:
        return list(self._counts)

    async def told(self, user: UserId) -> bool:
        """Return once delivery knows the user to be here; False if it did not answer, and the sweep has to do."""
        if user in self._told and self._told[user] is None:
            return True
        telling = self._told.get(user)
        if telling is None:
            # A task of its own: one connection that goes while it waits must not leave the user's others waiting.
            telling = self._told[user] = asyncio.create_task(self._tell_of(user))
        return await asyncio.shield(telling)

    async def tell_all(self) -> None:
        """Announce every user here again, and those who have gone."""
        gone, self._gone = self._gone, {}
        by_partition: dict[int, tuple[list[UserId], list[UserId]]] = {}
        for user in self._counts:
            by_partition.setdefault(partition_of(user), ([], []))[0].append(user)
        for user in gone:
            by_partition.setdefault(partition_of(user), ([], []))[1].append(user)
        for partition, (here, left) in by_partition.items():
            for start in range(0, max(len(here), 1), USERS_PER_MESSAGE_MAX):
                chunk = here[start : start + USERS_PER_MESSAGE_MAX]
                await self._tell(partition, self._here(chunk), self._left(left) if start == 0 else [])

    async def tell_partitions(self, partitions: Sequence[int]) -> None:
        """Tell who has taken over `partitions` of every user here who belongs there, also where nobody does."""
        wanted = set(partitions)
        here: dict[int, list[UserId]] = {}
        for user in self._counts:
            if partition_of(user) in wanted:
                here.setdefault(partition_of(user), []).append(user)
        for partition, users in here.items():
            for start in range(0, len(users), USERS_PER_MESSAGE_MAX):
                last = start + USERS_PER_MESSAGE_MAX >= len(users)
                chunk = users[start : start + USERS_PER_MESSAGE_MAX]
                await self._tell(partition, self._here(chunk), [], whole=[partition] if last else [])
        if empty := [partition for partition in partitions if partition not in here]:
            await self._tell(empty[0], [], [], whole=empty)

    async def tell_gone(self) -> None:
        """Tell of the users whose last connection has gone."""
        gone, self._gone = self._gone, {}
        by_partition: dict[int, list[UserId]] = {}
        for user in gone:
            by_partition.setdefault(partition_of(user), []).append(user)
        for partition, users in by_partition.items():
            if left := self._left(users):
                await self._tell(partition, [], left)

    # Of the moment when it is said: while others were told of, somebody may have come back, and been told of so. To
    # take that back would leave a user here without a word of the groups that they are added to.

    def _here(self, users: list[UserId]) -> list[UserId]:
        return [user for user in users if user in self._counts]

    def _left(self, users: list[UserId]) -> list[UserId]:
        return [user for user in users if user not in self._counts]

    async def _tell_of(self, user: UserId) -> bool:
        answered = await self._tell(partition_of(user), [user], [])
        # Unless the user has gone meanwhile, and perhaps come back: then that is another's to say.
        if self._told.get(user) is asyncio.current_task():
            if answered:
                self._told[user] = None
            else:
                del self._told[user]
        return answered

    async def _tell(
        self, partition: int, users: list[UserId], gone: list[UserId], *, whole: Sequence[int] = ()
    ) -> bool:
        message = msgspec.msgpack.encode(Online(self._edge, users, gone, list(whole)))
        try:
            await self._bus.request(subjects.online(partition), message, timeout_s=ONLINE_TIMEOUT_S)
        except (NoAnswer, BusClosed):
            return False
        return True
