"""The transfer port: what a store shows and notes beside its own port when all it holds goes into another."""

from typing import Generic, Literal, Protocol, TypeVar

import msgspec

from folkmoot.model.ids import GroupId
from folkmoot.model.send import SendKey
from folkmoot.ports.store import MovedPointer

T = TypeVar("T")


class StoreSealed(Exception):
    """The store must not be served: it went elsewhere, or is not whole yet; the text says which, and what to do."""


class StoreOccupied(Exception):
    """What is to be copied into has other data already. Nothing was touched."""


class Custody(msgspec.Struct, frozen=True, kw_only=True):
    """A store's part in a copy. `copy` is the copy's id, the same in both stores; `other` names the other for people.

    A `source` is still the one that counts. Once `sealed` it never is again. A `target` is not whole yet.
    """

    part: Literal["none", "source", "sealed", "target"] = "none"
    copy: str = ""
    other: str = ""

    def check_served(self) -> None:
        """Raise StoreSealed unless the store may be served."""
        if self.part == "sealed":
            raise StoreSealed(
                f"this store was copied to {self.other}, and is sealed: serve that one. Two would give the same numbers"
                " to different messages. To go back to this one all the same: folkmoot restore --unseal, into a new"
                " folder, under a raised epoch"
            )
        if self.part == "target":
            raise StoreSealed(
                f"the copy from {self.other} into this store was not finished: run the same folkmoot copy again"
            )


class Refusal(msgspec.Struct, frozen=True, order=True):
    """A send that was refused for good, and the code of that."""

    group: GroupId
    key: SendKey
    code: str


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some rows, in an order of the store's own, and what to ask for the next with: "" where there are no more."""

    rows: list[T]
    next: str


class Transfer(Protocol):
    """What only a copy asks of a store; all else goes through `ports.store.Store` and `ports.accounts.Accounts`.

    Promises, which `tests/conformance/test_transfer.py` checks for every backend:

    - what was noted is durable before the call returns, and found again whoever opens the store;
    - a store is claimed only while it is empty, and by one copy;
    - a page may be short or empty, and is not the last while it says `next`; while nobody writes no row is missed or
      shown twice; `after` is "" for the first page;
    - errors are the store's: StoreAway, StoreFull, StoreUnknown; every call is safe to repeat.
    """

    async def custody(self) -> Custody: ...

    async def begin(self, custody: Custody) -> Custody:
        """Note that this store is the source of a copy, unless it has a part in one already; its custody after."""

    async def claim(self, custody: Custody, epoch: int) -> None:
        """Make this empty store, or the target of the same copy, a target of that epoch. Raises StoreOccupied."""

    async def seal(self, custody: Custody) -> None:
        """Note that all that this store holds is elsewhere: it is never served again."""

    async def release(self) -> None:
        """Note that this store is whole: it takes part in no copy."""

    async def groups(self, *, after: str, rows_max: int) -> Page[GroupId]:
        """All groups, those too of which there are refusals only."""

    async def refusals(self, *, after: str, rows_max: int) -> Page[Refusal]:
        """All sends that were refused for good; those of one group and page stand together."""

    async def pointers(self, *, after: str, rows_max: int) -> Page[MovedPointer]:
        """All read pointers."""
