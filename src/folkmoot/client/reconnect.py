"""How long to wait before connecting again: full jitter, so that those who were cut off together come back apart."""

from typing import Final

DELAY_S_FIRST: Final = 0.1
DELAY_S_MAX: Final = 30.0
_DOUBLINGS_MAX: Final = 30


def reconnect_delay_s(attempt: int, draw: float, delay_s_max: float = DELAY_S_MAX) -> float:
    """Seconds before the attempt numbered `attempt` (from 0), for a `draw` in [0, 1).

    Uniform between nothing and a ceiling that doubles from 0.1 s with each attempt up to `delay_s_max`.
    """
    ceiling = DELAY_S_FIRST * 2.0 ** min(attempt, _DOUBLINGS_MAX)
    return draw * min(delay_s_max, ceiling)
