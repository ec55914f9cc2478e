"""Logs from the lock-step twin, whose truth is known: every joint swings through a few sines about a middle pose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from calibration.logs.log import Log, make_log
from robot_runtime.arm import JointCommand, Kinematics
from robot_runtime.arm.duty import Duty
from robot_runtime.arrays import Floats
from robot_runtime.spec import ArmSpec, load_arm
from tests.robot_runtime.arm.twins import PERIOD, TwinArm, start

STIFFNESS, DAMPING = 6.0, 0.3  # N·m/rad, N·m·s/rad: what torque joints follow the sines with


def sines(spec: ArmSpec, moved: Sequence[int], seed: int, seconds: float, size: float) -> Floats:
    """Angles (samples x joints): three sines a joint, 0.1 to 1.2 Hz, eased in over two seconds."""
    random = np.random.default_rng(seed)
    time = np.arange(0.0, seconds, PERIOD)
    home = np.array(spec.poses["home"])
    goals = np.tile(home, (len(time), 1))
    ease = np.clip(time / 2.0, 0.0, 1.0)
    for i in moved:
        limits = spec.joints[i].limits
        reach = size * min(limits.upper - home[i], home[i] - limits.lower, 1.2)
        for low, high, share in ((0.1, 0.25, 0.5), (0.3, 0.6, 0.3), (0.7, 1.2, 0.2)):
            phase = 2 * np.pi * (random.uniform(low, high) * time + random.uniform())
            goals[:, i] += ease * share * reach * np.sin(phase)
    return goals


def record(
    name: str | Path, gap: str | None, moved: Sequence[str], seconds: float, *, seed: int = 0, size: float = 0.8
) -> tuple[Log, TwinArm]:
    """A log of these joints, and the twin."""
    spec = load_arm(name)
    rig = start(name, gap=gap, pose="home")
    arm = rig.arm
    arm.prepare()
    arm.torque_on()
    columns = [spec.joint_names.index(joint) for joint in moved]
    goals = sines(spec, columns, seed, seconds, size)
    command = JointCommand(len(spec.joints))
    command.held[columns] = False
    kinematics, duty = Kinematics(spec), Duty(spec)
    torque = np.array([j.mode in ("current", "pwm") for j in spec.joints])
    rows: dict[str, list[Floats]] = {
        key: [] for key in ("time", "sent", "q", "dq", "command", "volts", "temperature", "tau")
    }
    begin = rig.port.now()
    for k, goal in enumerate(goals):
        due = begin + (k + 1) * PERIOD
        arm.read(due)
        state = arm.state
        values = goal.copy()
        if torque.any():
            wanted = (
                STIFFNESS * (goal - state.q) - DAMPING * state.dq + kinematics.gravity(state.q, np.empty(len(goal)))
            )
            limit = 0.9 * np.array([j.limits.torque for j in spec.joints])
            values = np.where(torque, np.clip(wanted, -limit, limit), goal)
            values = np.where(duty.is_pwm, duty.of_torque(values, state), values)
        command.values[:] = values
        arm.write(command)
        for key, value in (
            ("time", np.array([float(state.stamp.max())])),
            ("sent", np.array([rig.port.now()])),
            ("q", state.q),
            ("dq", state.dq),
            ("command", values),
            ("volts", state.voltage),
            ("temperature", state.temperature),
            ("tau", state.tau),
        ):
            rows[key].append(np.array(value))
        rig.port.sleep_until(due)
    table = {key: np.array(value) for key, value in rows.items()}
    constant = np.array([j.gear * j.servo.motor.torque_constant for j in spec.joints])
    log = make_log(
        "twin",
        spec.joint_names,
        [j.mode for j in spec.joints],
        table["time"][:, 0],
        table["q"],
        table["command"],
        sent=table["sent"][:, 0],
        dq=table["dq"],
        current=table["tau"] / constant,
        volts=table["volts"],
        temperature=table["temperature"],
    )
    return log.select(moved), rig
