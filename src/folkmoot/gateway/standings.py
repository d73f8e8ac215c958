"""What is known of users and keys, kept for a moment, so that a request does not cost a read of the store."""

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from folkmoot.ports.accounts import Accounts, ApiKey, Standing
from folkmoot.ports.clock import Clock
from folkmoot.ports.subjects import StandingMoved

ROWS_MAX: Final = 10_000
"""Of each kind. One more, and what was not asked for the longest is read again when it is."""

AGE_S_MAX: Final = 60.0
"""What moved is dropped as soon as the bus says so. Where that word was lost, this is how long the old is believed."""

T = TypeVar("T")


class _Look:
    """A read of the store under way: `moved` once what it reads may be old."""

    __slots__ = ("moved", "waiting")

    def __init__(self) -> None:
        self.moved = False
        self.waiting = 0


class Kept(Generic[T]):
    """Values by name, as `read` gives them: the last used, for a while. None is not kept."""

    def __init__(
        self,
        read: Callable[[str], Awaitable[T]],
        clock: Clock,
        *,
        rows_max: int = ROWS_MAX,
        age_s_max: float = AGE_S_MAX,
    ) -> None:
        self._read = read
        self._clock = clock
        self._rows_max = rows_max
        self._age_s_max = age_s_max
        self._rows: dict[str, tuple[float, T]] = {}
        self._looks: dict[str, _Look] = {}

    async def of(self, name: str) -> T:
        """The value of `name`, none that was dropped before this returns. Raises what `read` raises."""
        row = self._rows.pop(name, None)
        if row is not None and self._clock.monotonic_s() < row[0] + self._age_s_max:
            self._rows[name] = row
            return row[1]
        while True:
            look = self._looks.setdefault(name, _Look())
            look.waiting += 1
            began_s = self._clock.monotonic_s()
            try:
                value = await self._read(name)
            finally:
                look.waiting -= 1
                if not look.waiting and self._looks.get(name) is look:
                    del self._looks[name]
            # A value that was read before it moved would let in who has just been shut out: it is read again.
            if not look.moved:
                self._keep(name, began_s, value)
                return value

    def drop(self, name: str) -> None:
        """The value has moved."""
        self._rows.pop(name, None)
        look = self._looks.pop(name, None)
        if look is not None:
            look.moved = True

    def drop_all(self) -> None:
        """Any value may have moved."""
        self._rows.clear()
        for name in list(self._looks):
            self.drop(name)

    def _keep(self, name: str, began_s: float, value: T) -> None:
        if value is None:
            # A name that nobody has costs whoever tries it a read each time, and others their place here never.
            return
        self._rows.pop(name, None)
        self._rows[name] = (began_s, value)
        if len(self._rows) > self._rows_max:
            del self._rows[next(iter(self._rows))]


class Standings:
    """Users' standings and API keys, as this gateway knows them."""

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        self.moves = 0
        """How often anything has moved, as far as it is known here."""
        self._standings: Kept[Standing] = Kept(accounts.standing, clock)
        self._keys: Kept[ApiKey | None] = Kept(accounts.key, clock)

    async def of(self, user: str) -> Standing:
        """Raises StoreAway."""
        return await self._standings.of(user)

    async def key(self, key_id: str) -> ApiKey | None:
        """Raises StoreAway."""
        return await self._keys.of(key_id)

    def moved(self, moved: StandingMoved) -> None:
        """What was known of a user or a key counts no longer."""
        self.moves += 1
        if moved.user:
            self._standings.drop(moved.user)
        if moved.key:
            self._keys.drop(moved.key)

    def all_moved(self) -> None:
        """Words of the bus were lost: nothing that is known counts."""
        self.moves += 1
        self._standings.drop_all()
        self._keys.drop_all()
