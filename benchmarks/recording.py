"""Recordings on the twin in virtual time: what they cost, what the envelope changed, and what they tell the fit.

python benchmarks/recording.py [ARM ...] [--level quick|full] [--gaps none,mild]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from calibration.excitation import LEVELS, plan, segments_of
from calibration.excitation.information import ERROR, FITTED, Information
from calibration.excitation.rehearsal import noticed
from calibration.logs.ingest import flight_log
from calibration.logs.log import Log
from calibration.logs.windows import cut
from calibration.physics.fit import Problem
from calibration.physics.numbers import Physics
from calibration.physics.rollout import Rig
from calibration.recording.record import record_on_twin
from robot_runtime.arm import Kinematics
from robot_runtime.flight.reader import read_flight
from robot_runtime.flying import Phase
from robot_runtime.spec import ArmSpec, load_arm

ARMS = ("open-manipulator-x", "koch-v1.1", "xl330-pendulum")


def told(spec: ArmSpec, logs: list[Log]) -> Information:
    """By the fit's own Jacobian at the data files' numbers, on what was recorded."""
    rig = Rig.of(spec)
    physics = Physics(rig.world, FITTED)
    windows = cut([log.select(rig.world.names) for log in logs], 0.5)
    problem = Problem(rig, physics, windows, np.full(windows.q.shape[2], ERROR))
    jacobian = problem.jacobian(np.zeros(len(physics)))[: -len(physics)]
    return Information(physics.labels, jacobian.T @ jacobian)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arms", nargs="*", default=ARMS)
    parser.add_argument("--level", choices=LEVELS, default="quick")
    parser.add_argument("--gaps", default="none,mild")
    options = parser.parse_args()
    for name in options.arms:
        spec = load_arm(name)
        kinematics = Kinematics(spec)
        begin = time.perf_counter()
        excitation = plan(spec, options.level)
        print(
            f"\n{name}, {options.level}: {len(excitation.segments)} segments, {excitation.seconds:.0f} s of motion; "
            f"planned in {time.perf_counter() - begin:.0f} s"
        )
        for gap in options.gaps.split(","):
            begin = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                recording = record_on_twin(spec, gap, excitation, Path(folder))
                if not recording.complete:
                    print(f"    {gap}: not complete: {recording.verdicts[-1].text}")
                    continue
                changed, touched, cycles, nearest, logs = 0, 0, 0, np.inf, []
                for path in recording.flights:
                    flight = read_flight(path)
                    log = flight_log(path, spec)
                    for span in segments_of(flight):
                        rows = (flight["begin"] >= span.begin) & (flight["begin"] <= span.end)
                        rows &= flight["phase"] == Phase.RUN
                        by = np.abs(flight["command"][rows] - flight["intent"][rows])
                        touched += int((by > noticed(spec)).any(axis=1).sum())
                        changed += int((flight["interventions"][rows] > 0).any(axis=1).sum())
                        cycles += int(rows.sum())
                        for q in flight["q"][rows][::10]:
                            found = kinematics.clearance(q, 0.1)
                            nearest = min(nearest, 0.1 if found is None else found.distance)
                        if not span.is_check:
                            logs.append(log.cut(np.flatnonzero(rows)))
            seen = told(spec, logs)
            print(
                f"    {gap}: {cycles} cycles, the envelope changed {changed / cycles:.1%}, "
                f"noticeably {touched / cycles:.2%}; "
                f"nearest {nearest * 1e3:.0f} mm; {seen.seen} of {len(seen.labels)} directions seen, condition number "
                f"of these {seen.condition:.0f}, {seen.gain:.0f} nats; {time.perf_counter() - begin:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
