"""What is compared with what: arms, seconds of motion, and how each run is done and tried."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.calibration_flights import fly
from benchmarks.claim import calibrating, learning
from benchmarks.claim.arms import ARM, GapArm
from benchmarks.claim.base import Base
from benchmarks.claim.runs import (
    CALIBRATION,
    LEARNT,
    RECORDING,
    SEEDS,
    ZERO_SHOT,
    Run,
    add,
    key_of,
    learning_for,
    read,
    seeded,
)
from calibration.errors import CalibrationError
from calibration.excitation import Excitation
from robot_runtime.calibrated.file import Calibration
from robot_runtime.spec import load_arm
from sim.tasks.arm_task import ArmTask
from sim.tasks.registry import make_task
from sim.training.asked_to_stop import asked_to_stop
from sim.twin.gap import load_gap

TARGETS = 16
"""Of one trial; three trials with other targets make 48."""
DRAWN, WANTED = 12, 2
"""Gaps random:1 to random:12 are tried in this order, until so many could be recorded to the end."""
RECORDED = 60
"""s, about: a quick recording."""
SHORT = 25
"""s, about: as much of it as a fit needs."""
HEALTHY, MILD, AS_IT_IS = GapArm("none"), GapArm("mild"), GapArm("mild", zeroed=False)
FIRST = ((CALIBRATION, RECORDED), *learning_for(300, 3000, 10000))
"""On every arm."""


class Study:
    """The comparison, with what it has done so far."""

    def __init__(self, work: Path, results: Path, console: Console, targets: int = TARGETS) -> None:
        """`work`: policies, recordings and maps; `results`: a line a run."""
        self.work, self.results, self.console, self.targets = work, results, console, targets
        self.base = Base(work, results.parent)
        self.spec = load_arm(ARM)
        task = make_task(learning.TASK, [0], arm=ARM)
        assert isinstance(task, ArmTask)
        self.task = task

    def run(self) -> bool:
        """All that is missing. Ctrl-C: the run that is under way is the last one; returns whether that was asked."""
        if not self.base.made(self.console):
            return True
        with asked_to_stop() as asked:
            for run in self.runs():
                if asked:
                    return True
                self.do(run)
        return False

    def runs(self) -> Iterator[Run]:
        """In the order of what is worth most."""
        yield Run(HEALTHY, ZERO_SHOT)
        yield from self._first_on(MILD)
        drawn: list[GapArm] = []
        for seed in range(1, DRAWN + 1):
            arm = GapArm(f"random:{seed}")
            if len(drawn) < WANTED and self.can_be_flown(arm):
                drawn.append(arm)
                yield from self._first_on(arm)
        yield from self._first_on(AS_IT_IS)
        for arm in (MILD, *drawn):
            yield from seeded(arm, ((CALIBRATION, SHORT),))
        yield from seeded(MILD, learning_for(60, 1000, 30000))
        for arm in drawn:
            yield from seeded(arm, learning_for(30000))

    def _first_on(self, arm: GapArm) -> Iterator[Run]:
        yield Run(arm, ZERO_SHOT)
        yield from seeded(arm, FIRST)

    def can_be_flown(self, arm: GapArm) -> bool:
        """Whether a quick recording comes to its end; why not is kept as a line."""
        asked = Run(arm, RECORDING)
        if asked.key in {key_of(line) for line in read(self.results)}:
            return False
        try:
            self._record(Run(arm, CALIBRATION, RECORDED, SEEDS[0]))
        except calibrating.NotFlownError as error:
            add(self.results, {**self._facts(asked), "skipped": str(error)})
            self.console.print(f"{arm.name}: skipped: {error}", highlight=False)
            return False
        return True

    def do(self, run: Run) -> None:
        """Make the policy or the maps, fly the trials, and keep a line for each; not again what is there."""
        if run.key in {key_of(line) for line in read(self.results)}:
            return
        began = time.process_time()
        gap = self.gap_file(run.arm)
        policy, calibration, facts = self.base.policy, None, self._facts(run)
        try:
            if run.method in LEARNT:
                assert run.seed is not None
                policy = self._path(run, "onnx")
                settings, noise = learning.settings_of(run.seconds)
                learnt = learning.learn(
                    run.method, gap, run.seconds, run.seed, self.base.networks(), policy, settings, noise
                )
                facts |= {"noise": noise, **asdict(learnt)}
            elif run.method == CALIBRATION:
                # No joint data show the offset of an upright base: what was fitted to the arm without it is the same.
                fitted = replace(run, arm=replace(run.arm, zeroed=True))
                folder, excitation = self._record(fitted)
                facts |= asdict(calibrating.fit(self.spec, folder, excitation, self._path(fitted, "cal")))
                calibration = Calibration.read(self._path(fitted, "cal"))
        except CalibrationError as error:
            add(self.results, {**facts, "skipped": str(error)})
            return
        trials = []
        for seed in run.trials:
            flown = fly(policy, self.task, load_gap(gap), self.targets, calibration, seed)
            trial = {"trial": seed, "success": round(flown.success, 4), "error": round(flown.error, 6)}
            if calibration is None:
                trial["own_success"], trial["own_error"] = learning.own_trial(policy, gap, seed)
            trials.append(trial)
        whole = round(time.process_time() - began, 1)
        add(self.results, {**facts, "targets": self.targets, "trials": trials, "whole_cpu": whole})
        told = ", ".join(f"{t['success']:.0%} {1e3 * t['error']:.1f} mm" for t in trials)
        self.console.print(f"{run.arm.name}, {run.method}, {run.seconds} s, seed {run.seed}: {told}", highlight=False)

    def gap_file(self, arm: GapArm) -> Path:
        """Of an arm."""
        return arm.file(self.spec.joint_names, self.work / "gaps")

    def _record(self, run: Run) -> tuple[Path, Excitation]:
        assert run.seed is not None
        folder, gap = self._path(run, "recording"), self.gap_file(run.arm)
        return folder, calibrating.record(self.spec, gap, run.seconds, run.seed, folder, self.work / "plans")

    def _path(self, run: Run, ending: str) -> Path:
        folder = self.work / self.gap_file(run.arm).stem
        folder.mkdir(parents=True, exist_ok=True)
        seed = "" if run.seed is None else f"-{run.seed}"
        return folder / f"{run.method}-{run.seconds}{seed}.{ending}"

    def _facts(self, run: Run) -> dict[str, Any]:
        return {"arm": run.arm.name, "method": run.method, "seconds": run.seconds, "seed": run.seed}
