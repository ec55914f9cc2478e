"""Calibration on real data: sixteen logs of an XL330 that swings a weight, split as docs/calibration.md says.

python benchmarks/calibration_real.py [FOLDER]       # where the logs are; default ../shared/data/xl330_pendulum
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from calibration.logs.ingest import load_mapping, read_log
from calibration.logs.log import Log
from calibration.logs.windows import cut, open_volts
from calibration.maps.fit import (
    Part,
    fit_observation_map,
    fit_torque_map,
    sense_scores,
    torque_scores,
    whole,
)
from calibration.maps.targets import track
from calibration.physics.fit import fit
from calibration.physics.numbers import Physics
from calibration.physics.rollout import Rig, rollout
from robot_runtime.arrays import Floats

MAPPING = Path(__file__).parent.parent / "calibration/rigs/xl330-bench/mapping.toml"
DATA = Path(__file__).parents[2] / "shared/data/xl330_pendulum"
SECONDS = 5.98
PERIOD = 0.005
GAP = 40  # samples between what is trained on and the last quarter
PARAMETERS = (
    "torque_constant",
    "resistance",
    "armature",
    "coulomb",
    "viscous",
    "load_friction",
    "offset",
    "delay",
    "supply_resistance",
)
REFERENCE = {  # of the protocol that docs/calibration.md repeats: Coulomb-viscous, load-dependent; 0.5 s windows
    "kp=400 unseen": (".034", ".020"),
    "kp=800 unseen": (".047", ".032"),
    "last quarter": (".080", ".048"),
    "sin(t^2) unseen": (".051", ".077"),
}


def split(logs: list[Log], name: str) -> tuple[list[Log], list[Log]]:
    unseen = {
        "kp=400 unseen": [log.notes["gain"] == "400" for log in logs],
        "kp=800 unseen": [log.notes["gain"] == "800" for log in logs],
        "sin(t^2) unseen": [log.notes["trajectory"] == "sin_time_square" for log in logs],
    }[name]
    return [a for a, held in zip(logs, unseen, strict=True) if not held], [
        a for a, held in zip(logs, unseen, strict=True) if held
    ]


def errors(rig: Rig, physics: Physics, z: Floats, logs: list[Log], length: float) -> Floats:
    """mrad, mean absolute, of each log."""
    windows = cut(logs, length, step=0.001, every=5, until=SECONDS)
    q, _ = rollout(rig, physics, z, windows)
    error = np.abs(q[0] - windows.q)[:, 1:].mean(axis=(1, 2)) * 1e3
    return np.array([error[windows.log == i].mean() for i in range(len(logs))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=DATA)
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    mapping = load_mapping(MAPPING)
    logs = [read_log(file, mapping) for file in sorted(folder.glob("*.json"))]
    if not logs:
        parser.error(f"no logs in {folder}")
    fine, coarse = Rig.of(mapping.spec, step=0.001), Rig.of(mapping.spec)
    tracks = {log.name: track(coarse, log, PERIOD, np.array([0.0171]), friction=False, until=SECONDS) for log in logs}
    volts = np.median([open_volts(log) for log in logs], axis=0)
    nominal = Physics(fine.world, ())
    z0 = np.zeros(0)
    for name in REFERENCE:
        begin = time.process_time()
        rows = np.arange(len(tracks[logs[0].name]))
        border = int(0.75 * len(rows))
        train: list[Part]
        test: list[Part]
        if name == "last quarter":
            seen, unseen, until = logs, list[Log](), (border - GAP) * PERIOD
            train = [(tracks[log.name], rows < border - GAP) for log in logs]
            test = [(tracks[log.name], rows >= border) for log in logs]
        else:
            seen, unseen = split(logs, name)
            until = SECONDS
            train, test = [whole(tracks[a.name]) for a in seen], [whole(tracks[a.name]) for a in unseen]
        found = fit(coarse, cut(seen, 0.5, until=until), PARAMETERS)
        print(f"\n{name}: physics in {time.process_time() - begin:.0f} s of CPU, {found.iterations} steps")
        for label, value in found.values.items():
            low, high = found.interval[label]
            note = "" if found.seen[label] else "   not told apart"
            print(f"    {label.removeprefix('joint.'):18} {value:9.5f}   95 %: {low:9.5f} to {high:9.5f}{note}")
        print(f"    condition number {found.condition:.0f}")
        if unseen:
            for length, what in ((np.inf, "whole logs"), (0.5, "0.5 s windows")):
                before, after = (
                    errors(fine, p, z, unseen, length) for p, z in ((nominal, z0), (found.physics, found.z))
                )
                each = " ".join(f"{e:.1f}" for e in after)
                print(
                    f"    rollouts, {what}: data file {before.mean():.1f} mrad, fitted {after.mean():.1f} mrad ({each})"
                )
        numbers = found.numbers()
        for network in (False, True):
            torque_map = fit_torque_map(coarse, numbers, train, volts, friction=False, duty=True, network=network)
            score = torque_scores(torque_map, test, volts, duty=True)
            kind = "linear + ensemble" if network else "linear"
            print(
                f"    torque map nMSE, moving: physics {score['physics'][0]:.4f}, {kind} {score['map'][0]:.4f}"
                f"   (to beat: physics {REFERENCE[name][0]}, with network {REFERENCE[name][1]})"
            )
        for network in (False, True):
            sense = fit_observation_map(coarse, numbers, train, network=network)
            score = sense_scores(sense, test)
            kind = "linear + ensemble" if network else "linear"
            print(
                f"    velocity, rad/s rms: register {score['register'][0]:.3f}, {kind} {score['map'][0]:.4f}, "
                f"spread {score['spread'][0]:.2f}"
            )
        print(f"    {time.process_time() - begin:.0f} s of CPU in all", flush=True)


if __name__ == "__main__":
    main()
