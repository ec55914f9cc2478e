"""The simulator's motors, as the data files have them: which command makes which torque."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from robot_runtime.arrays import Flags, Floats
from sim.worlds.arm import ArmWorld


@dataclass(frozen=True, slots=True, eq=False)
class Motor:
    """Of joints that are driven by current or duty. As `robot_runtime.arm.duty` has them, for many arms at once."""

    volts: Floats
    constant: Floats  # N·m/A and V·s/rad
    resistance: Floats
    limit: Floats  # N·m
    current: Flags  # commanded by current, which is said as its torque; the others by duty

    @classmethod
    def of(cls, world: ArmWorld) -> Motor:
        """Of the joints of a world, as the data files say."""
        motors = [joint.servo.motor for joint in world.joints]
        return cls(
            np.array([motor.nominal_voltage for motor in motors]),
            np.array([j.gear * m.torque_constant for j, m in zip(world.joints, motors, strict=True)]),
            np.array([motor.resistance for motor in motors]),
            np.array([joint.limits.torque for joint in world.joints]),
            np.array([joint.mode == "current" for joint in world.joints]),
        )

    def at(self, volts: Floats) -> Motor:
        """The same behind another supply."""
        return replace(self, volts=volts)

    @property
    def stall(self) -> Floats:
        """N·m of a duty of 1 at rest."""
        found: Floats = self.volts * self.constant / self.resistance
        return found

    def command(self, torque: Floats, dq: Floats) -> Floats:
        """The commands that make these torques (N·m, arms x joints) at these speeds."""
        across = torque * self.resistance / self.constant + self.constant * dq
        return np.where(self.current, torque, np.clip(across / self.volts, -1.0, 1.0))

    def torque(self, duty: Floats, dq: Floats) -> Floats:
        """N·m of these duties (arms x joints) at these speeds."""
        across = np.clip(duty, -1.0, 1.0) * self.volts - self.constant * dq
        torque: Floats = np.clip(across / self.resistance * self.constant, -self.limit, self.limit)
        return torque
