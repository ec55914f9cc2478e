"""Arms on the lock-step twin, for tests in exact virtual time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robot_runtime.arm import Arm, JointCommand
from robot_runtime.spec import ArmSpec, load_arm
from sim.twin import LockstepPort, Twin

PERIOD = 0.005  # s


@dataclass
class TwinArm:
    """An Arm and the twin behind it."""

    arm: Arm
    twin: Twin
    port: LockstepPort

    @property
    def drives(self) -> Any:
        """The physical side of the twin: what truly is."""
        return self.twin.drives

    @property
    def truth(self) -> np.ndarray:
        """True joint angles, rad."""
        return np.array(self.drives.joint_position)

    def run(self, seconds: float, command: JointCommand | None = None) -> float:
        """Read and write every 5 ms; returns the furthest that any joint truly moved from where it was (rad)."""
        command = command or JointCommand(len(self.arm.spec.joints))
        start, furthest = self.truth, 0.0
        begin = self.port.now()
        for k in range(1, round(seconds / PERIOD) + 1):
            due = begin + k * PERIOD
            self.arm.read(due)
            self.arm.write(command)
            self.port.sleep_until(due)
            furthest = max(furthest, float(np.abs(self.truth - start).max()))
        return furthest


def start(
    name: str | Path = "open-manipulator-x",
    *,
    spec: ArmSpec | None = None,
    gap: str | None = None,
    faults: Sequence[str] = (),
    firmware: Mapping[int, int] | None = None,
    pose: str = "rest",
    twin: Twin | None = None,
) -> TwinArm:
    """A twin of the arm, and the arm found on it. `spec`: what the runtime believes, when that differs."""
    twin = twin or Twin.load(str(name), gap=gap, faults=faults, firmware=firmware, pose=pose)
    port = LockstepPort(twin)
    return TwinArm(Arm.open(spec or load_arm(name), port), twin, port)


def variant(tmp_path: Path, name: str, *edits: tuple[str, str]) -> Path:
    """A shipped arm with regular-expression edits to its arm.toml, in a folder of its own."""
    source = load_arm(name).path
    text = source.read_text()
    for pattern, replacement in edits:
        text, count = re.subn(pattern, replacement, text)
        assert count, pattern
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "arm.xml").write_text((source.parent / "arm.xml").read_text())
    (tmp_path / "arm.toml").write_text(text)
    return tmp_path / "arm.toml"


PAIRS = {"open-manipulator-x": ("joint2", 12, 22), "koch-v1.1": ("shoulder_lift", 2, 12)}
"""The joint that gets a second servo, and the IDs of both."""


def paired(tmp_path: Path, name: str, *edits: tuple[str, str], second: str = "") -> Path:
    """A shipped arm in which two servos lift the shoulder; the second one's rotor and gears come beside the first's.

    `second`: what is said of it besides its ID.
    """
    joint, first, other = PAIRS[name]
    servo = rf"(servo = {{ id = {first}, model = .*}}\n)"
    file = variant(tmp_path, name, (servo, rf"\1second = {{ id = {other}{second} }}\n"), *edits)
    motor = next(j for j in load_arm(name).joints if j.name == joint).servo.motor
    both = f'armature="{2 * motor.armature}" damping="{2 * motor.viscous_friction}" '
    both += f'frictionloss="{2 * motor.coulomb_friction}"'
    mjcf = file.with_name("arm.xml")
    mjcf.write_text(mjcf.read_text().replace(f'<joint name="{joint}" ', f'<joint name="{joint}" {both} ', 1))
    return file
