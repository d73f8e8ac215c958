"""A store filled without a server: by the router's own decisions and the backend's own appends, as a server would."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from folkmoot.bench.groups import user_named
from folkmoot.model.entry import CREATED, MESSAGE, SALT_BYTES
from folkmoot.model.group import GroupState, empty_group
from folkmoot.model.ids import GroupId, group_id
from folkmoot.model.send import Send
from folkmoot.node.config import load_settings
from folkmoot.node.wiring import open_store
from folkmoot.ports.clock import SystemChance, SystemClock
from folkmoot.ports.store import Store
from folkmoot.router.batch import Rules, decide_batch

BATCH_ENTRIES: Final = 200
GROUPS_AT_ONCE: Final = 2_000
MEMBERS_MAX: Final = 100_000


def seed_store(
    data_dir: Path, *, groups: int, members: int, messages: int, text_bytes: int = 180, same_users: bool = False
) -> list[GroupId]:
    """Fill the store in `data_dir` with groups of `members` and `messages` each; their ids, as in a measure's jobs.

    `same_users`: all groups have the same members.

    Raises what opening the store raises.
    """
    wanted = _Wanted(members, messages, text_bytes, same_users)
    return asyncio.run(_seed(data_dir, groups, wanted))


class _Wanted(msgspec.Struct, frozen=True):
    """Of each group."""

    members: int
    messages: int
    text_bytes: int
    same_users: bool


async def _seed(data_dir: Path, groups: int, wanted: _Wanted) -> list[GroupId]:
    store = await open_store(load_settings({"data_dir": str(data_dir)}, {}, None), SystemClock())
    try:
        ids = []
        for first in range(0, groups, GROUPS_AT_ONCE):
            numbers = range(first, min(first + GROUPS_AT_ONCE, groups))
            ids += await asyncio.gather(*(_seed_group(store, n, wanted) for n in numbers))
        return ids
    finally:
        await store.close()


async def _seed_group(store: Store, number: int, wanted: _Wanted) -> GroupId:
    members, messages = wanted.members, wanted.messages
    first_user = 1 if wanted.same_users else number * members + 1
    users = [user_named(first_user + n) for n in range(members)]
    send_id = f"group-{number}"
    group = group_id(users[0], send_id)
    body = {"name": f"group {number}", "members": users[1:], "history": "join", "entry": "invite"}
    sends = [_send(group, users[0], send_id, CREATED, body, join=0)]
    text = {"text": "x" * wanted.text_bytes}
    sends += [_send(group, users[n % members], f"message-{n}", MESSAGE, text, join=1) for n in range(messages)]
    state = empty_group(group, await store.epoch(), room=MEMBERS_MAX)
    for first in range(0, len(sends), BATCH_ENTRIES):
        state = await _append(store, state, sends[first : first + BATCH_ENTRIES])
    return group


async def _append(store: Store, state: GroupState, sends: Sequence[Send]) -> GroupState:
    chance, clock = SystemChance(), SystemClock()
    rules = Rules(
        now_ms=clock.wall_ms(),
        members_max=MEMBERS_MAX,
        full=False,
        refusals_left=lambda _: 0,
        salt=lambda: chance.token(SALT_BYTES),
    )
    batch = decide_batch(state, sends, {}, rules)
    if batch.write is None or len(batch.write.entries) != len(sends):
        raise ValueError(f"not all of {len(sends)} sends were taken: {[r.answer for r in batch.rulings][:3]}")
    head = await store.append(batch.write)
    return msgspec.structs.replace(batch.write.after, head=head)


def _send(group: GroupId, sender: str, send_id: str, kind: str, body: object, *, join: int) -> Send:
    encoded = msgspec.json.encode(body)
    return Send(group=group, sender=sender, device="", send_id=send_id, join=join, after=None, kind=kind, body=encoded)
