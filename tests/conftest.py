"""What holds for every test: no step of an event loop works for long."""

from collections.abc import Iterator
from typing import Final

import pytest

from folkmoot.testing.long_steps import long_steps

STEP_SECONDS_MAX: Final = 0.25


@pytest.fixture(autouse=True)
def no_step_works_for_long() -> Iterator[None]:
    """Fails the test in which one did."""
    with long_steps(STEP_SECONDS_MAX) as found:
        yield
    assert found == [], f"over {STEP_SECONDS_MAX} s: give the loop a turn in between, or use a thread"
