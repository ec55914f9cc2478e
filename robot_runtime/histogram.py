"""How long something took, a thousand times a second, in memory that does not grow."""

from __future__ import annotations

import math

_LOWEST = 1e-7  # s
_OCTAVES, _PER_OCTAVE = 27, 16
_HIGHEST = _LOWEST * 2.0**_OCTAVES  # 13 s


class Histogram:
    """How long something took, as counts in bins whose edges grow by 4.4 %: adding one more costs no memory."""

    def __init__(self) -> None:
        """Empty."""
        self._counts = [0] * (_OCTAVES * _PER_OCTAVE)
        self.count = 0
        self.least = math.inf  # s
        self.most = -math.inf  # s

    def add(self, seconds: float) -> None:
        """One more; what is negative counts as next to nothing, but `least` remembers it."""
        if seconds <= _LOWEST:
            i = 0
        elif seconds < _HIGHEST:
            i = int(math.log2(seconds / _LOWEST) * _PER_OCTAVE)
        else:
            i = -1
        self._counts[i] += 1
        self.count += 1
        self.least = min(self.least, seconds)
        self.most = max(self.most, seconds)

    def quantile(self, share: float) -> float:
        """s, which this share of all does not exceed; exact to the width of a bin. Nan when empty."""
        if not self.count:
            return math.nan
        rank, seen = max(math.ceil(share * self.count), 1), 0
        for i, count in enumerate(self._counts):
            seen += count
            if seen >= rank:
                edge = _LOWEST * math.exp2((i + 1) / _PER_OCTAVE)
                return min(max(edge, self.least), self.most)
        raise AssertionError("the counts add up to the count")

    def summary(self) -> dict[str, float]:
        """Median, p99, p99.9 and extremes, s."""
        if not self.count:
            return {}
        return {
            "median": self.quantile(0.5),
            "p99": self.quantile(0.99),
            "p99.9": self.quantile(0.999),
            "max": self.most,
            "min": self.least,
        }
