"""What acknowledgements add to each part is a pointer's cost; a member's pointer moves at most once a second."""

import pytest

from folkmoot.bench.clusters import PARTS
from folkmoot.bench.pointers import costs_of, moves_of


def test_what_acknowledgements_add_is_the_cost() -> None:
    plain = dict.fromkeys(PARTS, 0.2)
    acked = plain | {"cassandra": 0.3, "gateway": 0.26, "bus": 0.21}
    assert costs_of(acked, plain, moves_per_s=1_000) == {
        "cassandra_us_per_pointer": pytest.approx(100),
        "pointer_us": pytest.approx(70),
    }


def test_members_have_one_write_a_second_each() -> None:
    assert moves_of(500.0, 1_300) == 500
    assert moves_of(5_000.0, 1_300) == 1_300
