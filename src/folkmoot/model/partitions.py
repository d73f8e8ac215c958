"""Who owns which partition: rendezvous hashing over the instances alive, so that few move as one comes or goes."""

import functools
import hashlib
from collections.abc import Iterable
from typing import Final

from folkmoot.model.ids import PARTITIONS

ALL: Final = frozenset(range(PARTITIONS))


def owner_of(partition: int, instances: Iterable[str]) -> str | None:
    """The instance with the greatest weight for `partition`, None where there is no instance."""
    return max(instances, key=lambda instance: (_weights(instance)[partition], instance), default=None)


def owned_by(instance: str, instances: Iterable[str]) -> frozenset[int]:
    """The partitions of `instance`, one of `instances`. Whoever has the same view computes the same."""
    others = [other for other in instances if other != instance]
    mine = _weights(instance)
    rivals = [(_weights(other), other) for other in others]
    return frozenset(
        partition
        for partition in range(PARTITIONS)
        if all((mine[partition], instance) > (weights[partition], other) for weights, other in rivals)
    )


def moved(before: Iterable[str], after: Iterable[str]) -> frozenset[int]:
    """The partitions that have another owner in the view `after`."""
    old, new = tuple(before), tuple(after)
    return frozenset(p for p in range(PARTITIONS) if owner_of(p, old) != owner_of(p, new))


@functools.lru_cache(maxsize=256)
def _weights(instance: str) -> tuple[bytes, ...]:
    name = instance.encode()
    return tuple(
        hashlib.blake2b(name + partition.to_bytes(2, "big"), digest_size=8).digest() for partition in range(PARTITIONS)
    )
