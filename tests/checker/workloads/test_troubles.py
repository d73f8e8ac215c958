"""Faults are drawn of the kinds asked for, within the run, and of kinds that there are."""

import random

import pytest

from folkmoot.checker.workloads.troubles import ALL, GUESTS, OWNERS, Troubles
from folkmoot.testing.faults import MEANING

SAID_OTHERWISE = {
    "pause client": {"pause"},
    "cut client": {"cut", "cut both"},
    "kill delivery": {"kill"},
    "kill gateway": {"kill"},
    "bus away edge": {"bus away"},
    "bus away delivery": {"bus away"},
}


@pytest.mark.parametrize("kind", dict.fromkeys((*ALL, *OWNERS, *GUESTS)))
def test_every_kind_can_be_drawn(kind: str) -> None:
    troubles = Troubles(random.Random(1), ["user-1/phone"], 10.0)
    faults = troubles.drawn([kind], 20)
    assert {fault.kind for fault in faults} <= SAID_OTHERWISE.get(kind, {kind})
    assert {fault.kind for fault in faults} <= set(MEANING)
    assert all(0 <= fault.at_s <= 10 for fault in faults)
    assert faults == sorted(faults, key=lambda fault: fault.at_s)
