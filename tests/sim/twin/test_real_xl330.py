"""Whole logs of a real XL330 on a pendulum, replayed through the twin: goals in, positions out, real ones beside them.

Mean absolute error in position over each log's first 5.98 s, averaged over the sixteen logs. The published parameter
sets of the project that recorded them (Rhoban/bam) reach 55.7 to 60.0 mrad on the same logs.
"""

from pathlib import Path

import numpy as np
import pytest

from sim.twin.drives import Drives
from sim.twin.gap import Gap, JointGap, SupplyGap
from sim.twin.servo_data import load_servo
from tests.sim.twin.rigs import RealLog, bench_arm, real_logs, run

SECONDS = 5.98
RIG_OFFSET = 0.0171  # rad, the rig's encoder against plumb
TICK = load_servo("XL330-M288").units["position"]


def replay(log: RealLog, gap: Gap, folder: Path) -> float:
    """Mean absolute error of the twin's positions, rad."""
    offset = gap.joint("joint").offset
    arm = bench_arm(
        folder, "XL330-M288", "position", mass=log.mass, length=log.length, start=float(log.position[0]) + offset
    )
    drives = Drives(arm, gap, 1)
    drives.set_supply(log.supply * gap.supply.voltage_factor)
    run(drives, 0.02)  # the supply has come up
    drives.position_p_gain[0] = log.kp
    row, error, steps = 0, 0.0, round(SECONDS / drives.period)
    real = np.interp(np.arange(steps) * drives.period, log.time, log.position)
    for step in range(steps):
        if row < len(log.time) and log.time[row] <= step * drives.period:
            drives.goal_position[0] = 2048 + round(log.goal[row] / TICK)
            drives.torque_on[0] = log.torque_on[row]
            drives.inputs_changed(0)
            row += 1
        error += abs(float(drives.joint_position[0]) - offset - real[step])
        drives.step()
    return error / steps


def mean_error(gap: Gap, folder: Path) -> float:
    return float(np.mean([replay(log, gap, folder) for log in real_logs()]))


def rig_gap(**joint: float) -> Gap:
    """What the servo data file says, in the rig's own terms: how it changes the data file's figures to become these."""
    motor = load_servo("XL330-M288").motor
    keys = {
        "torque_constant": "torque_constant",
        "resistance": "resistance",
        "armature": "armature",
        "coulomb": "coulomb_friction",
        "viscous": "viscous_friction",
        "load_friction": "load_friction",
    }
    factors = {name: joint.pop(name) / motor[key] for name, key in keys.items() if name in joint}
    supply = SupplyGap(internal_resistance=joint.pop("supply_resistance", 0.0))
    return Gap(every=JointGap(offset=joint.pop("offset", RIG_OFFSET), **factors, **joint), supply=supply)


def test_with_the_data_files_figures_the_twin_swings_like_the_real_servo(tmp_path: Path) -> None:
    assert mean_error(rig_gap(), tmp_path) < 0.085


def test_with_the_rigs_own_figures_it_comes_within_30_mrad(tmp_path: Path) -> None:
    """A supply of 1.2 ohm and gears that eat a third of the torque explain what the data file's figures leave open.

    The figures are fitted to all sixteen logs: this says that the equations are right, not that the figures would hold
    for another servo. Fitted without one of the gains 200, 400 and 800, they came within 33 to 44 mrad on that gain.
    """
    gap = rig_gap(
        torque_constant=0.304,
        resistance=2.43,
        armature=0.00170,
        coulomb=0.0079,
        viscous=0.0106,
        load_friction=0.357,
        offset=0.0256,
        supply_resistance=1.213,
    )
    assert mean_error(gap, tmp_path) < 0.030


@pytest.mark.parametrize("change", [{"load_friction": 0.0005}, {"supply_resistance": 0.0}])
def test_each_of_the_two_matters(tmp_path: Path, change: dict[str, float]) -> None:
    figures = {
        "torque_constant": 0.304,
        "resistance": 2.43,
        "coulomb": 0.0079,
        "viscous": 0.0106,
        "load_friction": 0.357,
        "offset": 0.0256,
        "supply_resistance": 1.213,
    }
    assert mean_error(rig_gap(**{**figures, **change}), tmp_path) > 0.045
