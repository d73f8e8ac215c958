"""All that one store holds, taken into another through the ports, held against it entry by entry, and then sealed."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence, Sized
from typing import Final, Protocol, TypeVar, cast

import msgspec

from folkmoot.model.entry import Entry, first_break
from folkmoot.model.fold import changed_memberships, fold, fold_all
from folkmoot.model.group import GroupState, empty_group
from folkmoot.model.ids import GroupId, UserId
from folkmoot.model.membership import Membership, Span
from folkmoot.model.send import Appended, Outcome, Refused, SendKey
from folkmoot.ports.accounts import Accounts, Standing
from folkmoot.ports.clock import Clock
from folkmoot.ports.store import Conflict, MovedPointer, Store, StoreAway, StoreUnknown, Write
from folkmoot.ports.transfer import Custody, Page, StoreOccupied, Transfer

T = TypeVar("T")

PAGE_ENTRIES: Final = 256
"""As many as a router writes at once: every store takes that."""

PAGE_BYTES: Final = 262_144
PAGE_ROWS: Final = 256
AT_ONCE: Final = 16
"""Groups: each holds one page and one state; a target that syncs takes their writes together."""

TRIES_MAX: Final = 8
"""Of one group, where the target does not answer: 1 s, 2 s, and so on between them."""


class CopyFailed(Exception):
    """The target is not whole, and is not served; the source still counts. The text says why, and what to do."""


class Side(msgspec.Struct, frozen=True):
    """One of the two stores, with all its ports. `name` is for people, and for the other's seal."""

    name: str
    store: Store
    accounts: Accounts
    transfer: Transfer


class Copied(msgspec.Struct, kw_only=True):
    """What the target holds, as it was compared with the source; whether the `secret` of the tokens was taken along."""

    epoch: int = 0
    groups: int = 0
    entries: int = 0
    refusals: int = 0
    pointers: int = 0
    users: int = 0
    keys: int = 0
    secret: bool = False


OnProgress = Callable[[str, int], None]
"""Gets what is being done, "copying" or "comparing", and how many entries have been."""


async def copy_store(
    source: Side, target: Side, clock: Clock, *, new_copy: str, on_progress: OnProgress = lambda doing, entries: None
) -> Copied:
    """Copy everything, compare everything, seal the source, and only then let the target be served.

    `new_copy` is the copy's id unless one was begun before, which goes on where it was. Raises CopyFailed.
    """
    try:
        held = await source.transfer.begin(Custody(part="source", copy=new_copy, other=target.name))
        if held.part == "target":
            raise CopyFailed(f"{source.name} is itself not whole: the copy from {held.other} was not finished")
        epoch = await source.store.epoch()
        await _claim(source, target, held, epoch)
        await _Copying(source, target, clock, on_progress).run()
        copied = await _Comparing(source, target, epoch, on_progress).run()
        # In this order: ended in between, neither is served, and the same command finishes it.
        await source.transfer.seal(Custody(part="sealed", copy=held.copy, other=target.name))
        await target.transfer.release()
    except StoreAway as error:
        raise CopyFailed(f"a store cannot be used: {error}; run the same command again") from error
    except StoreUnknown as error:
        raise CopyFailed(f"a store did not answer: {error}; run the same command again") from error
    return copied


async def _claim(source: Side, target: Side, held: Custody, epoch: int) -> None:
    there = await target.transfer.custody()
    if held.part == "sealed" and (there.part, there.copy) != ("target", held.copy):
        raise CopyFailed(f"{source.name} was copied to {held.other} before, and is sealed: serve that one")
    try:
        await target.transfer.claim(Custody(part="target", copy=held.copy, other=source.name), epoch)
    except StoreOccupied as error:
        raise CopyFailed(f"{target.name} cannot be copied into: {error}; give a new one") from error


class _Copying:
    """Every write is one that a router could have made: what the target makes of it is what it always makes."""

    def __init__(self, source: Side, target: Side, clock: Clock, on_progress: OnProgress) -> None:
        self._source = source
        self._target = target
        self._clock = clock
        self._on_progress = on_progress
        self._entries = 0

    async def run(self) -> None:
        transfer = self._source.transfer
        async for groups in _pages(transfer.groups):
            await _some_at_once(self._log, groups)
        async for refusals in _pages(transfer.refusals):
            for group, of_it in itertools.groupby(refusals, key=lambda refusal: refusal.group):
                await self._refusals(group, {refusal.key: refusal.code for refusal in of_it})
        async for pointers in _pages(transfer.pointers):
            await self._target.store.move_pointers(pointers)
        await self._accounts()

    async def _log(self, group: GroupId) -> None:
        await self._until_taken(group, self._log_once)

    async def _until_taken(self, group: GroupId, once: Callable[[GroupId], Awaitable[None]]) -> None:
        for tried in range(1, TRIES_MAX + 1):
            try:
                await once(group)
            except (Conflict, StoreUnknown) as error:
                # Nobody knows whether it is there: what the target shows of the group says where to go on.
                if tried == TRIES_MAX:
                    raise CopyFailed(f"group {group}: the target does not take it: {error or 'conflict'}") from error
                await self._clock.sleep(tried)
            else:
                return

    async def _log_once(self, group: GroupId) -> None:
        state = await self._target.store.state(group)
        head = await self._source.store.head(group)
        last = 0 if head is None else head.seq
        if state.head.seq:
            mark = await self._source.store.mark(group, state.head.seq)
            if mark is None or mark.hash != state.head.hash:
                raise CopyFailed(f"group {group}: the target holds another log up to {state.head.seq}")
        self._count(state.head.seq)
        while state.head.seq < last:
            span, room = Span(state.head.seq + 1, last), state.head.room
            page = await self._source.store.read(group, span, entries_max=min(PAGE_ENTRIES, room), bytes_max=PAGE_BYTES)
            broken = first_break(state.head.hash, state.head.seq, page)
            if broken is not None or not page:
                raise CopyFailed(f"group {group}: entry {broken or span.first} is not there or does not chain; {_MEND}")
            write = _write_of(state, page)
            state = msgspec.structs.replace(write.after, head=await self._target.store.append(write))
            self._count(len(page))

    async def _refusals(self, group: GroupId, codes: Mapping[SendKey, str]) -> None:
        async def once(group: GroupId) -> None:
            store = self._target.store
            there = await store.outcomes(group, codes)
            state = await store.state(group)
            for some in _in_parts([(key, code) for key, code in codes.items() if key not in there]):
                write = Write(
                    group=group, expected=state.head, entries=(), refusals=dict(some), after=state, memberships=()
                )
                state = msgspec.structs.replace(state, head=await store.append(write))

        await self._until_taken(group, once)

    async def _accounts(self) -> None:
        source, target = self._source.accounts, self._target.accounts
        async for users in _by_id(source.users, lambda user: user):
            profiles = await source.profiles(users)
            for user in users:
                if user in profiles:
                    await target.put_profile(profiles[user])
                await self._standing(await source.standing(user), known=user in profiles)
        async for keys in _by_id(source.keys, lambda key: key.id):
            for key in keys:
                await target.put_key(key)
                if key.revoked_ms is not None:
                    await target.revoke_key(key.id, at_ms=key.revoked_ms)

    async def _standing(self, standing: Standing, *, known: bool) -> None:
        target, user = self._target.accounts, standing.user
        if known and standing == Standing(user=user):
            return
        await target.set_active(user, standing.active, at_ms=standing.active_changed_ms)
        if standing.out_before_ms:
            await target.sign_out(user, "", at_ms=standing.out_before_ms)
        for device, at_ms in standing.devices_out.items():
            await target.sign_out(user, device, at_ms=at_ms)

    def _count(self, entries: int) -> None:
        self._entries += entries
        self._on_progress("copying", self._entries)


class _Comparing:
    """Everything is read back from both: entries, outcomes, what is made of them, pointers, users and keys."""

    def __init__(self, source: Side, target: Side, epoch: int, on_progress: OnProgress) -> None:
        self._source = source
        self._target = target
        self._on_progress = on_progress
        self._copied = Copied(epoch=epoch)

    async def run(self) -> Copied:
        copied, transfer = self._copied, self._source.transfer
        async for groups in _pages(transfer.groups):
            copied.groups += len(groups)
            await _some_at_once(self._group, groups)
        async for refusals in _pages(transfer.refusals):
            copied.refusals += len(refusals)
            for group, of_it in itertools.groupby(refusals, key=lambda refusal: refusal.group):
                for some in _in_parts(list(of_it)):
                    await self._outcomes(group, {refusal.key: Refused(refusal.code) for refusal in some})
        async for pointers in _pages(transfer.pointers):
            copied.pointers += len(pointers)
            await _some_at_once(self._pointer, pointers)
        # A store need not keep a row where a message says it: so each of either is looked for in both.
        async for pointers in _pages(self._target.transfer.pointers):
            await _some_at_once(self._pointer, pointers)
        await self._accounts()
        await self._counts()
        return copied

    async def _group(self, group: GroupId) -> None:
        ours, theirs = [await side.store.state(group) for side in (self._source, self._target)]
        state = await self._log(group, ours.head.seq)
        for name, told in (("source", ours), ("target", theirs)):
            head, end = told.head, state.head
            if (head.epoch, head.seq, head.hash, head.messages) != (end.epoch, end.seq, end.hash, end.messages):
                raise CopyFailed(f"group {group}: the head of the {name} is not the end of its log; {_MEND}")
            if msgspec.structs.replace(told, head=end) != state:
                raise CopyFailed(f"group {group}: what the {name} says of it is not what its log says; {_MEND}")

    async def _log(self, group: GroupId, last: int) -> GroupState:
        """Compare the logs, from the first entry up to `last`; the state that they come to."""
        state = empty_group(group, self._copied.epoch, 1)
        while state.head.seq < last:
            first = state.head.seq + 1
            ours, theirs = [
                await side.store.read(group, Span(first, last), entries_max=PAGE_ENTRIES, bytes_max=PAGE_BYTES)
                for side in (self._source, self._target)
            ]
            page = theirs[: len(ours)]
            differs = next((a.seq for a, b in zip(ours, page, strict=False) if a != b), None)
            broken = first_break(state.head.hash, state.head.seq, page)
            if differs or broken or not page:
                raise CopyFailed(f"group {group}: entry {differs or broken or first} is not alike in source and target")
            state = fold_all(state, page)
            told: dict[SendKey, Outcome] = {}
            for entry in page:
                told[entry.sender, entry.send_id] = Appended(entry.seq, entry.kind, entry.digest, entry.salt)
            await self._outcomes(group, told)
            self._copied.entries += len(page)
            self._on_progress("comparing", self._copied.entries)
        return state

    async def _outcomes(self, group: GroupId, told: Mapping[SendKey, Outcome]) -> None:
        if await self._target.store.outcomes(group, told) != told:
            raise CopyFailed(f"group {group}: an outcome of the target is not that of the source")

    async def _pointer(self, pointer: MovedPointer) -> None:
        views = [await side.store.view(pointer.group, pointer.user) for side in (self._source, self._target)]
        ours, theirs = [None if view is None else view.read for view in views]
        if ours != theirs:
            raise CopyFailed(f"group {pointer.group}: the target has {pointer.user} at {theirs}, the source at {ours}")

    async def _accounts(self) -> None:
        source, target = self._source.accounts, self._target.accounts
        async for users in _by_id(source.users, lambda user: user):
            self._copied.users += len(users)
            if await source.profiles(users) != await target.profiles(users):
                raise CopyFailed("profiles are not alike in source and target")
            for user in users:
                if await source.standing(user) != await target.standing(user):
                    raise CopyFailed(f"whether {user} may come in is not alike in source and target")
        async for keys in _by_id(source.keys, lambda key: key.id):
            self._copied.keys += len(keys)
            for key in keys:
                if await target.key(key.id) != key:
                    raise CopyFailed(f"the API key {key.id} is not alike in source and target")

    async def _counts(self) -> None:
        """What the source has is in the target. Nothing else is."""
        copied, transfer, accounts = self._copied, self._target.transfer, self._target.accounts
        for what, count, pages in (
            ("groups", copied.groups, _pages(transfer.groups)),
            ("refusals", copied.refusals, _pages(transfer.refusals)),
            ("users", copied.users, _by_id(accounts.users, lambda user: user)),
            ("API keys", copied.keys, _by_id(accounts.keys, lambda key: key.id)),
        ):
            there = sum([len(page) async for page in cast("AsyncIterator[Sized]", pages)])
            if there != count:
                raise CopyFailed(f"the target has {there} {what}, the source {count}")


_MEND: Final = "folkmoot doctor --deep says more, and folkmoot restore makes a sound store of it"


def _write_of(state: GroupState, page: Sequence[Entry]) -> Write:
    """What a router writes for these entries."""
    changed: dict[tuple[UserId, int], Membership] = {}
    after = state
    for entry in page:
        for user, membership in changed_memberships(after, entry).items():
            changed[user, membership.join] = membership
        after = fold(after, entry)
    memberships = [(user, membership) for (user, _), membership in changed.items()]
    return Write(
        group=state.group, expected=state.head, entries=page, refusals={}, after=after, memberships=memberships
    )


def _in_parts(rows: list[T]) -> list[list[T]]:
    return [rows[first : first + PAGE_ROWS] for first in range(0, len(rows), PAGE_ROWS)]


async def _some_at_once(work: Callable[[T], Awaitable[None]], items: Sequence[T]) -> None:
    """Do `work` for each. Where one fails the others are waited for, and its error is raised."""
    for first in range(0, len(items), AT_ONCE):
        done = await asyncio.gather(*map(work, items[first : first + AT_ONCE]), return_exceptions=True)
        for result in done:
            if isinstance(result, BaseException):
                raise result


async def _pages(read: "ReadPage[T]") -> AsyncIterator[list[T]]:
    after = ""
    while True:
        page = await read(after=after, rows_max=PAGE_ROWS)
        if page.rows:
            yield page.rows
        if not page.next:
            return
        after = page.next


async def _by_id(read: "ReadById[T]", id_of: Callable[[T], str]) -> AsyncIterator[list[T]]:
    after = ""
    while rows := await read(after=after, rows_max=PAGE_ROWS):
        yield rows
        after = id_of(rows[-1])


class ReadPage(Protocol[T]):
    def __call__(self, *, after: str, rows_max: int) -> Awaitable[Page[T]]: ...


class ReadById(Protocol[T]):
    def __call__(self, *, after: str, rows_max: int) -> Awaitable[list[T]]: ...
