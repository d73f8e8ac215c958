"""The bus port's promises each have a check in the suite."""

from folkmoot.ports import bus
from folkmoot.testing.bus_suite import CHECKS, name_of


def test_the_suite_has_a_check_for_each_promise() -> None:
    promises = [line for line in (bus.Bus.__doc__ or "").splitlines() if line.strip().startswith("- ")]
    assert len(promises) == 6
    assert len(CHECKS) >= len(promises)
    assert len({name_of(check) for check in CHECKS}) == len(CHECKS)
