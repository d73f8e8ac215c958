"""A plan is data: it can be written down, read again, and gives the same run."""

import msgspec

from folkmoot.testing.plan import Person, Plan, small_plan


def test_a_plan_can_be_written_down_and_read_again() -> None:
    plan = small_plan(seed=3)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


def test_a_machine_is_called_by_its_user_and_device() -> None:
    assert Person(user="user-1", device="tablet").machine == "user-1/tablet"
