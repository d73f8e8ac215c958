"""Ending the connections of whoever may no longer be here: at once when the bus says so, and by looking again."""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from folkmoot.gateway.access import Access
from folkmoot.gateway.identity import TokenRefused
from folkmoot.model.ids import UserId
from folkmoot.ports.bus import Reply
from folkmoot.ports.clock import Clock
from folkmoot.ports.store import StoreAway
from folkmoot.ports.subjects import StandingMoved

if TYPE_CHECKING:
    from folkmoot.gateway.connection import Connection

_log = logging.getLogger(__name__)

RETRY_S: Final = 0.2
"""While the store is away: nobody can tell then who is to go."""

_moved = msgspec.msgpack.Decoder(StandingMoved)


class Revocation:
    """Who is to be looked at again, and one task that does it. It holds no more names than there are connections."""

    def __init__(
        self,
        access: Access,
        clock: Clock,
        connections: Collection["Connection"],
        of_user: Mapping[UserId, Sequence["Connection"]],
    ) -> None:
        self._access = access
        self._clock = clock
        self._connections = connections
        self._of_user = of_user
        self._users: dict[UserId, None] = {}
        self._wake = asyncio.Event()

    def on_moved(self, message: bytes, reply: Reply | None = None) -> None:
        """The bus says that a user's standing, or a key, has moved."""
        moved = _moved.decode(message)
        self._access.moved(moved)
        if moved.user:
            self._add([moved.user])
        if moved.key:
            self._add([c.user for c in self._connections if c.caller is not None and c.caller.key == moved.key])

    def look_at(self, user: UserId) -> None:
        """Look at a user's connections again, and not at what is remembered of the user and of their keys."""
        self._access.moved(StandingMoved(user=user))
        for connection in self._of_user.get(user, ()):
            if connection.caller is not None and connection.caller.key:
                self._access.moved(StandingMoved(key=connection.caller.key))
        self._add([user])

    def look_at_all(self) -> None:
        """Words of the bus were lost: look at everyone again."""
        self._access.standings.all_moved()
        self._add(self._of_user)

    def signers_replaced(self) -> None:
        """Tokens are checked with other keys from now on: whoever came by one that is gone, goes."""
        knows = self._access.verifier.knows
        for connection in list(self._connections):
            caller = connection.caller
            if caller is not None and caller.signer and not knows(caller.signer):
                connection.end("token_invalid", "the key that signed the token is one no longer")

    async def run(self) -> None:
        """Look at whoever is to be looked at, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._users:
                user = next(iter(self._users))
                del self._users[user]
                try:
                    await self._look(user)
                except StoreAway:
                    self._add([user])
                    await self._clock.sleep(RETRY_S)
                except Exception:
                    # One user's fault must not keep others here.
                    _log.exception("a user's standing could not be looked at")

    async def _look(self, user: UserId) -> None:
        for connection in list(self._of_user.get(user, ())):
            caller = connection.caller
            if caller is None:
                continue
            try:
                await self._access.check(caller)
            except TokenRefused as refused:
                # A refresh may have come in between: the token that it brought has been looked at.
                if connection.caller is caller:
                    connection.end(refused.code, refused.detail)

    def _add(self, users: Iterable[UserId]) -> None:
        self._users.update(dict.fromkeys(user for user in users if user in self._of_user))
        if self._users:
            self._wake.set()
