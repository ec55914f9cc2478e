"""What a calibration costs a cycle: both maps with ensembles of three, and a policy of 2 x 64, in hot caches.

python benchmarks/maps.py             # of the arms in current and in position mode
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a script, from anywhere
from benchmarks.stand_ins import calibration, policy
from calibration.bundle import bundle
from robot_runtime.arm import JointState
from robot_runtime.calibrated.maps import NOW, ResidualMaps
from robot_runtime.calibrated.network import MapNetwork
from robot_runtime.policy.network import session_options
from robot_runtime.spec import load_arm

ARMS = ("open-manipulator-x", "koch-v1.1", "xl330-pendulum")
PERIOD = 0.005
TARGET = 25.0
"""µs, of all three networks."""
BATCH, BATCHES = 50, 400
"""Runs that are timed as one; how often. Half of the batches were faster than the median; the least is an idle core."""


def figures(call: Callable[[], Any]) -> dict[str, float]:
    """µs a call: least and median of batches."""
    for _ in range(10 * BATCH):
        call()
    laps = []
    for _ in range(BATCHES):
        begin = time.perf_counter()
        for _ in range(BATCH):
            call()
        laps.append((time.perf_counter() - begin) / BATCH * 1e6)
    return {"least": round(min(laps), 1), "median": round(float(np.median(laps)), 1)}


def costs(name: str, folder: Path) -> dict[str, Any]:
    """µs of each network, of one network of all, and of the maps with their histories and guards in Python."""
    spec = load_arm(name)
    given = calibration(spec, PERIOD).write(folder / "arm.cal")
    learned = policy(folder, spec, 200.0)
    sense = MapNetwork("observation", given.maps["observation"], PERIOD, ages=("command",))
    kind = next(kind for kind in given.maps if kind != "observation")
    drive = MapNetwork(kind, given.maps[kind], PERIOD, now=NOW)
    found = {
        "observation map": figures(sense._run),
        "policy, 2 x 64": figures(learned.network.run),
        f"{kind} map": figures(drive._run),
    }
    found["the three"] = {key: round(sum(part[key] for part in found.values()), 1) for key in ("least", "median")}
    made = bundle(learned.network.file.path, folder / "arm.cal", folder / "bundle.onnx", spec)
    found["as one network"] = figures(_bundled(made.path))
    maps, state = ResidualMaps(spec, given, PERIOD), JointState(len(spec.joints))
    q, dq, values = np.zeros((3, len(spec.joints)))
    joints = maps.carries.copy()
    maps.follow(np.zeros(len(spec.joints)), ~joints)
    maps.reset(state, 0.0)
    found["observe, in the loop"] = figures(lambda: maps.observe(state, 0.0, q, dq))
    found["command, in the loop"] = figures(lambda: maps.command(q, joints, state, 0.0, values))
    return found


def _bundled(path: Path) -> Callable[[], None]:
    session = onnxruntime.InferenceSession(str(path), session_options(), providers=["CPUExecutionProvider"])
    binding, kept = session.io_binding(), []
    for nodes, bind in ((session.get_inputs(), binding.bind_input), (session.get_outputs(), binding.bind_output)):
        for node in nodes:
            array = np.zeros(node.shape, np.float32)
            kept.append(array)
            bind(node.name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    def run(_kept: list[Any] = kept) -> None:
        session.run_with_iobinding(binding)

    return run


def main() -> None:
    """Print the figures, as a table or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="as data")
    as_json = parser.parse_args().json
    report = {}
    for name in ARMS:
        with tempfile.TemporaryDirectory() as folder:
            report[name] = costs(name, Path(folder))
    if as_json:
        print(json.dumps({"target_us": TARGET, "arms": report}, indent=1))
        return
    for name, parts in report.items():
        print(f"{name}: µs, least and median of {BATCHES} batches of {BATCH}; wanted for the three: {TARGET:g}")
        for part, took in parts.items():
            print(f"    {part:22} {took['least']:6.1f} {took['median']:6.1f}")


if __name__ == "__main__":
    main()
