"""The runs of the comparison, in the order of what is worth most, and their results as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.claim.arms import GapArm

ZERO_SHOT, CALIBRATION, MAPS, TUNING = "zero-shot", "calibration", "residual-maps", "fine-tune"
LEARNT = (MAPS, TUNING)
RECORDING = "recording"
"""Of lines that say why an arm was skipped."""
SEEDS = (1, 2, 3)
"""Of RL, of the noise in recordings, and of the trials: what seed 1 gave flies trial 1, zero-shot flies all three."""
RESULTS = "runs.jsonl"

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """One policy on one arm."""

    arm: GapArm
    method: str
    seconds: float = 0.0  # of motion, about
    seed: int | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from the others."""
        return self.arm.name, self.method, self.seconds, self.seed

    @property
    def trials(self) -> tuple[int, ...]:
        """Seeds of the flights."""
        return SEEDS if self.seed is None else (self.seed,)


def seeded(arm: GapArm, cells: Sequence[tuple[str, float]]) -> Iterator[Run]:
    """Every method and its seconds with a seed, then with the next one."""
    for seed in SEEDS:
        for method, seconds in cells:
            yield Run(arm, method, seconds, seed)


def learning_for(*seconds: float) -> tuple[tuple[str, float], ...]:
    """Both ways to learn, for so many s each."""
    return tuple((method, s) for s in seconds for method in LEARNT)


def read(file: Path) -> list[Line]:
    """What is finished; a line that a killed program left half is not."""
    lines = []
    for text in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def add(file: Path, line: Line) -> None:
    """Keep a result."""
    file.parent.mkdir(parents=True, exist_ok=True)
    broken = file.exists() and not file.read_text(encoding="utf-8").endswith("\n")
    with file.open("a", encoding="utf-8") as out:
        out.write("\n" * broken + json.dumps(line) + "\n")


def key_of(line: Line) -> tuple[Any, ...]:
    """Of which run it is."""
    return line["arm"], line["method"], line["seconds"], line["seed"]
