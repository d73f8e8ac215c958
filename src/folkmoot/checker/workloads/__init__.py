"""The workloads of the simulator: what each means, and the plan that it makes of a seed."""

from collections.abc import Callable
from typing import Final, TypeAlias

from folkmoot.checker.workloads import epochs, hot_group, membership, reconnects, sends, slow_readers
from folkmoot.testing.plan import Plan

Workload: TypeAlias = Callable[[int], Plan]
"""The plan of a seed. The same seed gives the same plan."""

WORKLOADS: Final[dict[str, Workload]] = {
    "sends": sends.plan_of,
    "membership": membership.plan_of,
    "reconnects": reconnects.plan_of,
    "slow_readers": slow_readers.plan_of,
    "hot_group": hot_group.plan_of,
    "epochs": epochs.plan_of,
}
