"""What the envelope makes of wild commands, in every mode, as one digest: `python -m tests.limited_commands`.

Printed with whether it ran compiled, so that both can be compared to the last bit.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from robot_runtime.arm.kinematics import Kinematics
from robot_runtime.arm.state import JointState
from robot_runtime.compiled import is_compiled
from robot_runtime.safety.envelope import Box, Envelope
from robot_runtime.spec import load_arm, shipped_arms

PERIOD, CYCLES = 0.005, 400
MODES = ("current", "pwm", "velocity", "position")


def digest(cycles: int = CYCLES) -> str:
    """SHA-256 (hex) of every command that was let through, and of why it was changed."""
    found = hashlib.sha256()
    for name in shipped_arms():
        for mode in MODES:
            for values in _limited(name, mode, cycles):
                found.update(values)
    return found.hexdigest()


def _limited(name: str, mode: str, cycles: int) -> list[bytes]:
    """A walk of measured states, well inside and outside of limits, late readings, heat, numbers that are none."""
    random = np.random.default_rng(5)
    shipped = load_arm(name)
    spec = replace(shipped, joints=tuple(replace(j, mode=mode) for j in shipped.joints))
    count, state = len(spec.joints), JointState(len(spec.joints))
    lower, upper = (np.array([getattr(j.limits, end) for j in spec.joints]) for end in ("lower", "upper"))
    most = np.array([j.limits.torque if mode == "current" else 2.0 for j in spec.joints])
    state.q[:] = spec.poses["home"]
    state.fresh[:] = True
    state.voltage[:] = [j.servo.motor.nominal_voltage for j in spec.joints]
    state.temperature[:] = 30.0
    state.stamp[:] = now = 1.0
    box = Box((0.0, -0.2, 0.02), (0.3, 0.2, 0.4))
    envelope = Envelope(spec, Kinematics(spec), PERIOD, workspace=box if name == shipped_arms()[0] else None)
    envelope.reset(state, now)
    speed, told = np.zeros(count), []
    for k in range(cycles):
        now += PERIOD * (1.0 if random.random() > 0.02 else 3.0)
        speed = 0.98 * speed + random.normal(0.0, 0.3, count)
        state.q[:] = np.clip(state.q + PERIOD * speed, lower - 0.05, upper + 0.05)
        state.fresh[:] = random.random(count) > 0.05
        np.copyto(state.stamp, now - 0.002, where=state.fresh)
        state.temperature[:] = 30.0 if k < cycles // 2 else 72.0
        envelope.emergency = k > 0.9 * cycles
        wanted = most * np.sign(np.sin(0.05 * k + np.arange(count))) * random.random(count)
        if mode == "position":
            wanted += state.q
        if random.random() < 0.02:
            wanted[random.integers(count)] = np.nan
        envelope.limit(wanted, state, now)
        told += [wanted.tobytes(), envelope.interventions.tobytes()]
    return told


if __name__ == "__main__":
    print(is_compiled(), digest())  # noqa: T201 (for test_compiled.py)
