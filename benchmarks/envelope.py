"""What the envelope costs: microseconds a call, by arm and mode, and which part of it takes how much.

python benchmarks/envelope.py            a table
python benchmarks/envelope.py --json     the same for machines

Parts are timed where Python runs them; compiled code (setup.py) calls itself.

The arm is an ideal one without a bus: commands are carried out a cycle later, so that it moves about while it is timed.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace

import numpy as np

from robot_runtime.arm.kinematics import Kinematics
from robot_runtime.arm.state import JointState
from robot_runtime.compiled import is_compiled
from robot_runtime.safety.envelope import Envelope
from robot_runtime.spec import ArmSpec, load_arm

PERIOD = 0.005  # s
CYCLES = 3000
CASES = (
    ("open-manipulator-x", ""),
    ("open-manipulator-x", "current"),
    ("open-manipulator-x", "velocity"),
    ("open-manipulator-x", "position"),
    ("koch-v1.1", ""),
    ("koch-v1.1", "pwm"),
    ("xl330-pendulum", ""),
)
PARTS = {
    "_observer": "look",
    "_clearance": "stops",
    "_barrier": "close_in",
    "_positions": "limit",
    "_speeds": "limit",
    "torques": "limit",
}
if is_compiled():
    PARTS = {}


def in_mode(spec: ArmSpec, mode: str) -> ArmSpec:
    """The arm with every joint in a mode; "" leaves it as it ships."""
    return replace(spec, joints=tuple(replace(j, mode=mode or j.mode) for j in spec.joints))


class Ride:
    """An envelope and an ideal arm that a slow wave of wanted commands moves about its home."""

    def __init__(self, name: str, mode: str) -> None:
        self.spec = in_mode(load_arm(name), mode)
        self.kinematics = Kinematics(self.spec)
        self.state = JointState(len(self.spec.joints))
        self.home = np.array(self.spec.poses["home"])
        self.now, self.k = 1.0, 0
        self._sense(self.home)
        self.envelope = Envelope(self.spec, self.kinematics, PERIOD)
        self.envelope.reset(self.state, self.now)
        self.values = np.zeros(len(self.home))
        self.gravity = np.zeros(len(self.home))

    def _sense(self, q: np.ndarray) -> None:
        self.state.q[:] = q
        self.state.stamp[:] = self.now
        self.state.fresh[:] = True

    def cycle(self) -> float:
        """One cycle; seconds that the envelope took."""
        self.k += 1
        self.now += PERIOD
        wave = 0.3 * np.sin(self.k * PERIOD * 3.0 + np.arange(len(self.home)))
        self._sense(np.rint((self.home + wave) / 0.00153) * 0.00153)
        self.kinematics.gravity(self.state.q, self.gravity)
        for i, joint in enumerate(self.spec.joints):
            ahead = 0.3 * np.sin((self.k + 1) * PERIOD * 3.0 + i)
            self.values[i] = {
                "current": self.gravity[i] + 0.05 * wave[i],
                "pwm": 0.3 * wave[i],
                "velocity": 0.9 * np.cos(self.k * PERIOD * 3.0 + i),
            }.get(joint.mode, self.home[i] + ahead)
        begin = time.perf_counter()
        self.envelope.limit(self.values, self.state, self.now)
        return time.perf_counter() - begin


def measure(name: str, mode: str) -> dict[str, float]:
    """Median and 99th percentile of a call (µs), and the medians of its parts in a second ride."""
    ride = Ride(name, mode)
    taken = np.array([ride.cycle() for _ in range(CYCLES)][CYCLES // 10 :]) * 1e6
    result = {"median": float(np.median(taken)), "p99": float(np.percentile(taken, 99))}
    ride = Ride(name, mode)
    for part, method in PARTS.items():
        result[part] = _time_part(ride, part, method)
    return result


def _time_part(ride: Ride, part: str, method: str) -> float:
    owner = getattr(ride.envelope, part)
    call, spent = getattr(owner, method), [0.0]

    def timed(*arguments: object) -> object:
        begin = time.perf_counter()
        result = call(*arguments)
        spent[0] += time.perf_counter() - begin
        return result

    try:
        setattr(owner, method, timed)
    except AttributeError:
        return 0.0
    per_call = []
    for _ in range(CYCLES // 3):
        spent[0] = 0.0
        ride.cycle()
        per_call.append(spent[0] * 1e6)
    setattr(owner, method, call)
    return float(np.median(per_call))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    report = {f"{name} {mode or 'as shipped'}": measure(name, mode) for name, mode in CASES}
    if options.json:
        print(json.dumps(report, indent=2))
        return
    columns = ("median", "p99", *PARTS)
    print(f"{'µs a call':36}" + "".join(f"{c.strip('_'):>11}" for c in columns))
    for case, row in report.items():
        print(f"{case:36}" + "".join(f"{row[c]:11.1f}" for c in columns))


if __name__ == "__main__":
    main()
