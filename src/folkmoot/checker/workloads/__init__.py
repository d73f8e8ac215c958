"""The workloads of the simulator: what each means, and the plan that it makes of a seed."""

from collections.abc import Callable
from typing import Final, TypeAlias

from folkmoot.checker.workloads import sends
from folkmoot.testing.plan import Plan

Workload: TypeAlias = Callable[[int], Plan]
"""The plan of a seed. The same seed gives the same plan."""

WORKLOADS: Final[dict[str, Workload]] = {"sends": sends.plan_of}
