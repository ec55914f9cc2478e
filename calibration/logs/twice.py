"""Whether two logs hold the same samples, in whatever files: what is held out must not be fitted to as well."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibration.logs.log import Log

RUN = 50
"""Samples in a row that must agree."""
LIVELY = RUN // 2
"""Of these, how many differ from the one before: arms that stand in one pose look alike."""
DIGITS = 4
"""Behind the point, of rad and N·m: an encoder's step is fifteen times that, another file's rounding far less."""

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A log's motion, to be found again in others."""

    joints: tuple[str, ...]
    runs: Hashes

    @classmethod
    def of(cls, log: Log) -> Fingerprint:
        """Take it once: it is compared with those of all others."""
        return cls(tuple(log.joints), _runs(log))


def shared(one: Fingerprint, other: Fingerprint) -> float:
    """Share of the motion of one log that the other has too; of the log of which it is more."""
    if one.joints != other.joints or not (len(one.runs) and len(other.runs)):
        return 0.0
    return float(max(np.isin(one.runs, other.runs).mean(), np.isin(other.runs, one.runs).mean()))


def _runs(log: Log) -> Hashes:
    """A number for every lively run of samples, the same for the same samples."""
    if len(log) < RUN:
        return np.zeros(0, dtype=np.uint64)
    numbers = np.nan_to_num(np.concatenate([log.q, log.command], axis=1), nan=0.0, posinf=0.0, neginf=0.0)
    rounded = np.round(numbers * 10**DIGITS).clip(-(2.0**62), 2.0**62).astype(np.int64).astype(np.uint64)
    factors = np.random.default_rng(0).integers(1, 2**63, numbers.shape[1] + RUN, dtype=np.uint64) | np.uint64(1)
    rows = (rounded * factors[RUN:]).sum(axis=1, dtype=np.uint64)  # modulo 2^64, as hashes are
    count = len(rows) - RUN + 1
    runs: Hashes = np.zeros(count, dtype=np.uint64)
    for k in range(RUN):
        runs += rows[k : k + count] * factors[k]
    changes = np.concatenate([[0], np.cumsum(rows[1:] != rows[:-1])])
    lively: Hashes = runs[changes[RUN - 1 :] - changes[:count] >= LIVELY]
    return lively
