"""What a study has found so far: its runs' results as tables, and the figures that compare strategies."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.training.checkpoint import CheckpointError
from sim.transfer.files import read_json
from sim.transfer.run import RESULT
from sim.transfer.study import SOURCE, Study

RUNS, TABLE, CURVES, STUDY = "runs", "results.csv", "curves.csv", "study.toml"
"""In a study's folder."""
TRIALS = ("published", "field", "back_home", "twin")
GOOD = 0.9
"""Of what learning from scratch reaches in the end."""
EARLY = 0.1
"""Of the steps that learning from scratch takes."""
_ROW = ("id", "strategy", "target", "seed", "steps", "seconds", "std", "frozen_tensors_unchanged", "maps_off_is_base")
_T = (math.nan, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Student's t for 95 %, by degrees of freedom."""

Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OverSeeds:
    """A figure of several runs that differ in their seed alone."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(np.mean(self.values))

    @property
    def half(self) -> float:
        """Half the width of the 95 % interval of the mean; NaN where one seed says nothing of it."""
        n = len(self.values)
        if n < 2:
            return math.nan
        return (_T[n - 1] if n - 1 < len(_T) else 1.96) * float(np.std(self.values, ddof=1)) / math.sqrt(n)

    def __str__(self) -> str:
        if math.isfinite(self.half):
            return f"{_told(self.mean)} ± {_told(self.half)} ({len(self.values)})"
        return f"{_told(self.mean)} ({len(self.values)})"


def _told(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def read_results(folder: Path, study: Study) -> list[Result]:
    """Of all runs that are finished, in the study's order."""
    files = (folder / RUNS / cell.id / RESULT for cell in study.cells())
    return [result for file in files if (result := _read(file)) is not None]


def _read(file: Path) -> Result | None:
    result = read_json(file)
    if result is None:
        return None
    curve = result.get("curve")
    whole = isinstance(curve, dict) and all(isinstance(curve.get(key), list) for key in _CURVE)
    if not whole or any(key not in result for key in (*_ROW, "definition", *TRIALS[:2])):
        raise CheckpointError(f"{file}: not the result of a run; move it away, and the run is done again")
    return result


def write_tables(folder: Path, results: Sequence[Result]) -> None:
    """`results.csv`: a row a run; `curves.csv`: a row a point of a learning curve."""
    rows = []
    for result in results:
        row = {key: result[key] for key in _ROW}
        for trial in TRIALS:
            facts = result.get(trial, {})
            row |= {f"{trial}_{key}": facts.get(key) for key in ("mean", "sd", "length", "success", "error")}
        rows.append(row)
    _write(folder / TABLE, rows)
    points = [
        {"id": r["id"], "steps": steps, "return": value, "success": success, "seconds": seconds}
        for r in results
        for steps, value, success, seconds in zip(*(r["curve"][k] for k in _CURVE), strict=True)
    ]
    _write(folder / CURVES, points)


_CURVE = ("steps", "return", "success", "seconds")


def over_seeds(results: Iterable[Result], trial: str, figure: str = "mean") -> dict[tuple[str, str], OverSeeds]:
    """(strategy, target) -> the figure of that trial."""
    found: dict[tuple[str, str], list[float]] = {}
    for result in results:
        if trial in result:
            found.setdefault((result["strategy"], result["target"]), []).append(result[trial][figure])
    return {key: OverSeeds(tuple(values)) for key, values in found.items()}


def steps_to_scratch(results: Sequence[Result], share: float = GOOD) -> dict[tuple[str, str], list[int | None]]:
    """(strategy, target) -> steps until the return in training is `share` of scratch's last, by seed; None: never."""
    ends = {(r["target"], r["seed"]): _last(r["curve"]["return"]) for r in results if _is_scratch(r)}
    bars = {key: share * end for key, end in ends.items() if end is not None}
    found: dict[tuple[str, str], list[int | None]] = {}
    for r in results:
        bar = bars.get((r["target"], r["seed"]))
        if bar is None or not r["steps"] or r["target"] == SOURCE:
            continue
        curve = zip(r["curve"]["steps"], r["curve"]["return"], strict=True)
        first = next((int(steps) for steps, value in curve if value is not None and value >= bar), None)
        found.setdefault((r["strategy"], r["target"]), []).append(first)
    return found


def early_returns(results: Sequence[Result], share: float = EARLY) -> dict[tuple[str, str], OverSeeds]:
    """(strategy, target) -> return in training when `share` of scratch's steps are used."""
    whole = {(r["target"], r["seed"]): r["steps"] for r in results if _is_scratch(r)}
    found: dict[tuple[str, str], list[float]] = {}
    for r in results:
        steps = whole.get((r["target"], r["seed"]))
        if steps is None or not r["steps"]:
            continue
        until = [v for s, v in zip(r["curve"]["steps"], r["curve"]["return"], strict=True) if s <= share * steps]
        if until and until[-1] is not None:
            found.setdefault((r["strategy"], r["target"]), []).append(until[-1])
    return {key: OverSeeds(tuple(values)) for key, values in found.items()}


def _last(values: Sequence[float | None]) -> float | None:
    """Before the first episode has ended there is none."""
    return next((value for value in reversed(values) if value is not None), None)


def _is_scratch(result: Result) -> bool:
    return bool(result["definition"]["parts"] == ["scratch"]) and result["target"] != SOURCE


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    unfinished = path.with_name(f"{path.name}.part")
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        if rows:
            writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    unfinished.replace(path)
