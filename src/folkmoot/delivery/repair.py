"""What finds lost copies: announcements compared with the store, and a paced sweep over every rostered group."""

from collections.abc import Callable, Mapping, Sequence

from folkmoot.model.ids import GroupId
from folkmoot.ports.clock import Clock
from folkmoot.ports.store import Store, StoreAway

GROUPS_PER_LOOK_MAX = 500


async def heads_past(store: Store, announced: Mapping[GroupId, int | None]) -> dict[GroupId, int]:
    """The heads in the store of those groups whose announced seq is behind them. Raises StoreAway.

    A feed that stands at no seq yet reads the head by itself.
    """
    behind: dict[GroupId, int] = {}
    groups = [group for group, seq in announced.items() if seq is not None]
    for start in range(0, len(groups), GROUPS_PER_LOOK_MAX):
        heads = await store.heads(groups[start : start + GROUPS_PER_LOOK_MAX])
        behind.update((group, head.seq) for group, head in heads.items() if head.seq > (announced[group] or 0))
    return behind


async def sweep(
    store: Store,
    clock: Clock,
    groups: Sequence[GroupId],
    *,
    duration_s: float,
    tell: Callable[[Mapping[GroupId, int]], None],
) -> None:
    """Tell the heads of all `groups`, spread over `duration_s`, skipping what the store cannot show now."""
    looks = max(1, -(-len(groups) // GROUPS_PER_LOOK_MAX))
    for look in range(looks):
        chunk = groups[look * GROUPS_PER_LOOK_MAX : (look + 1) * GROUPS_PER_LOOK_MAX]
        if chunk:
            try:
                heads = await store.heads(chunk)
            except StoreAway:
                heads = {}
            tell({group: head.seq for group, head in heads.items()})
        await clock.sleep(duration_s / looks)
