"""The store port's promises each have a check in the suite, and its errors say whether a write happened."""

from folkmoot.ports import store
from folkmoot.testing.store_suite import CHECKS, name_of


def test_the_suite_has_a_check_for_each_promise() -> None:
    promises = [line for line in (store.Store.__doc__ or "").splitlines() if line.strip().startswith("- ")]
    assert len(promises) == 9
    assert len(CHECKS) >= len(promises)
    assert len({name_of(check) for check in CHECKS}) == len(CHECKS)


def test_every_error_says_whether_it_happened() -> None:
    for error in (store.Conflict, store.StoreFull, store.StoreAway, store.StoreUnknown):
        assert (error.__doc__ or "").startswith(("Definite:", "Indefinite:"))
