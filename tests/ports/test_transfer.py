"""Who may be served: a store that takes part in no copy, and one that is only read from. The rest: conformance."""

import pytest

from folkmoot.ports.transfer import Custody, StoreSealed


def test_a_sealed_store_says_where_it_went_and_one_that_is_not_whole_what_to_do() -> None:
    Custody().check_served()
    Custody(part="source", copy="c", other="/there").check_served()
    with pytest.raises(StoreSealed, match=r"copied to /there.*restore --unseal"):
        Custody(part="sealed", copy="c", other="/there").check_served()
    with pytest.raises(StoreSealed, match=r"from /here .*not finished.*run the same folkmoot copy again"):
        Custody(part="target", copy="c", other="/here").check_served()
