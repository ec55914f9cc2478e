"""Every pair of levels that an arm's two maps could have, in the closed loop of acceptance and in flight.

python benchmarks/map_levels.py reach models/policies/reach-open-manipulator-x.onnx --gap random:1 --work FOLDER
    [--recordings 3] [--targets 32] [--payload 0.2] [--zeroed joint1]

Levels: the physics alone, a short filter on top, networks on top of that. `fit` chooses by what was held out of the
recording (and, where joints practise, by practice); this says what the other pairs would have done. Recordings differ
in the twin's noise; each is fitted anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a script, from anywhere
from benchmarks.calibration_flights import fly
from benchmarks.claim.calibrating import planned
from benchmarks.claim.runs import Line, add, read
from benchmarks.gaps import joints_named, zeroed_gap
from calibration.judging import closed_loop
from calibration.logs.load import load
from calibration.maps.residuals import LEVELS
from calibration.maps.stage import MapStage, files_of
from calibration.pipeline import Result, calibrate
from calibration.recording.record import record_on_twin
from robot_runtime.calibrated.file import MapFile
from robot_runtime.spec import ArmSpec, load_arm
from sim.tasks.arm_task import ArmTask
from sim.tasks.registry import make_task
from sim.twin.gap import load_gap


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("policy", type=Path)
    parser.add_argument("--arm", default="open-manipulator-x", help="with joints that take torques")
    parser.add_argument("--gap", default="random:1")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--recordings", type=int, default=3)
    parser.add_argument("--targets", type=int, default=32)
    parser.add_argument("--payload", type=float, default=0.2, metavar="KG")
    parser.add_argument("--zeroed", default="", metavar="JOINTS")
    options = parser.parse_args()
    spec = load_arm(options.arm)
    task = make_task(options.task, [0], arm=options.arm)
    assert isinstance(task, ArmTask)
    gap = zeroed_gap(load_gap(options.gap), spec.joint_names, joints_named(options.zeroed, spec.joint_names))
    options.work.mkdir(parents=True, exist_ok=True)
    file = options.work / "levels.jsonl"
    done = read(file)
    for seed in range(1, options.recordings + 1):
        if any(line["recording"] == seed for line in done):
            continue
        result = recorded_and_fitted(spec, options.gap, seed, options.payload, options.work)
        chosen = tuple(result.mapped.choices[kind].level for kind in ("observation", "torque"))
        lines = []
        for pair, maps, flown in pairs(result):
            calibration = replace(result.calibration, maps=maps)
            tried = fly(options.policy, task, gap, options.targets, calibration)
            lines.append(
                {
                    "recording": seed,
                    "accepted": result.accepted,
                    "levels": pair,
                    "chosen": pair == chosen,
                    "apart": float(1e3 * np.max(flown.apart)),
                    "success": tried.success,
                    "error": 1e3 * tried.error,
                }
            )
            print(json.dumps(lines[-1]), flush=True)
        for line in lines:
            add(file, line)
    show(read(file))


def recorded_and_fitted(spec: ArmSpec, gap: str, seed: int, payload: float, work: Path) -> Result:
    """One recording, of a plan that all of them share."""
    folder = work / f"recording-{seed}"
    record_on_twin(spec, gap, planned(spec, "quick", payload, work / "plan"), folder, seed=seed)
    return calibrate(load([folder], spec), spec)


def pairs(result: Result) -> Iterator[tuple[tuple[str, str], dict[str, MapFile], closed_loop.Flown]]:
    """The levels of the observation map and of the torque map, maps that have them, and the fitted arm with these."""
    rig, mapped, units = result.rig, result.mapped, result.split.train
    stage = MapStage(rig, result.logs, result.fitted, mapped.volts, mapped.period)
    pieces = [unit.of(result.logs[unit.log]) for unit in result.split.test]
    for observation in LEVELS:
        for torque in LEVELS:
            changed = replace(
                mapped, observation=stage.observation(units, observation), torque=stage.torque(units, torque)
            )
            maps = files_of(changed, rig)
            yield (observation, torque), maps, closed_loop.fly(rig, stage.numbers, mapped.volts, maps, pieces)


def show(lines: Sequence[Line]) -> None:
    """The table: means over the recordings."""
    print(f"{'observation':14}{'torque':12}{'apart, mrad':>12}{'success':>9}{'error, mm':>11}   chosen in")
    for observation in LEVELS:
        for torque in LEVELS:
            same = [line for line in lines if line["levels"] == [observation, torque]]
            apart, success, error = (float(np.mean([line[k] for line in same])) for k in ("apart", "success", "error"))
            told = f"{sum(line['chosen'] for line in same)} of {len(same)}"
            print(f"{observation:14}{torque:12}{apart:12.1f}{success:9.0%}{error:11.2f}   {told}")


if __name__ == "__main__":
    main()
