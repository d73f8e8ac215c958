"""How much one connection may ask for: token buckets, as plain objects that are told the time."""


class TokenBucket:
    """`rate_per_s` tokens a second, at most `burst` at once."""

    __slots__ = ("_at_s", "_burst", "_rate_per_s", "_tokens")

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._at_s = 0.0

    def retune(self, rate_per_s: float, burst: float) -> None:
        """Go on with another rate; tokens past the new burst are gone."""
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = min(self._tokens, burst)

    def take(self, now_s: float, cost: float = 1.0) -> float:
        """0.0 if `cost` was taken; else the seconds until it can be, and nothing is taken."""
        if now_s > self._at_s:
            self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate_per_s)
            self._at_s = now_s
        if self._tokens >= cost:
            self._tokens -= cost
            return 0.0
        return (cost - self._tokens) / self._rate_per_s
