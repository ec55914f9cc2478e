"""What the servos make of a command: volts, amps, torque, friction. Many arms at once, one row an arm.

The figures are those of the servo data files, the laws those of the servos' manuals: a current controller that the
supply voltage bounds (i <= (V - k w) / R: the speed-torque curve), a position law that sets the duty, or the duty
itself; and gears whose dry friction grows with the torque that passes them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from robot_runtime.arrays import Floats
from robot_runtime.spec import JointSpec
from sim.worlds.following import Following

MEANING_OF_MODE = {
    "current": "torque",
    "position": "position_delta",
    "extended_position": "position_delta",
    "pwm": "duty",
}
"""Operating mode of the joints -> what a policy's action means."""

POSITION_P = 1 / 256
"""PWM ticks for a gain of 1 and an error of one tick: 16 logs of a real XL330 obey it; half of the manual's figure."""
POSITION_D = 1 / 32
"""PWM ticks for a gain of 1 and an error that changes by one tick a millisecond; the same half, assumed."""


class Drives:
    """The servos of the joints that move. Arrays are (arms, joints) and may be changed row by row."""

    def __init__(self, joints: Sequence[JointSpec], count: int, timestep: float, inertia: Floats) -> None:
        """Nominal servos. All joints carry the same kind of command.

        Raises:
            ValueError: the joints' modes differ in what they command, or no policy can command them.
        """
        meanings = {MEANING_OF_MODE.get(joint.mode, joint.mode) for joint in joints}
        if len(meanings) != 1 or not meanings <= set(MEANING_OF_MODE.values()):
            raise ValueError(f"joints that a policy moves share one mode of {list(MEANING_OF_MODE)}; found {meanings}")
        self.meaning = meanings.pop()
        motors = [joint.servo.motor for joint in joints]
        gear = np.array([joint.gear for joint in joints])

        def rows(values: Sequence[float] | Floats) -> Floats:
            return np.tile(np.asarray(values, dtype=float), (count, 1))

        self.constant = rows(gear * [m.torque_constant for m in motors])  # N·m/A at the joint, and V·s/rad
        self.resistance = rows([m.resistance for m in motors])
        self.voltage = rows([m.nominal_voltage for m in motors])
        self.load_friction = rows([m.load_friction for m in motors])
        self.delay = np.zeros(count, dtype=np.intp)  # steps between a command and its effect
        self.torque_limit = np.array([joint.limits.torque for joint in joints])
        # The runtime lets a torque change no faster than would make the joint's jerk limit.
        self.slew = np.array([joint.limits.jerk for joint in joints]) * inertia * timestep
        # Nor a position goal faster, or with more acceleration or jerk, than the joint's limits.
        self.following = Following(joints, count, timestep)
        self._nominal = self.constant.copy()
        self._duty_per_torque = (self.resistance / self.constant / self.voltage)[0]
        self._stiffness, self._damping = (rows(gain) for gain in zip(*map(_position_gains, joints), strict=True))
        self._spring = (self._stiffness / self._duty_per_torque)[0]  # N·m/rad, of nominal servos
        self.torque = np.zeros((count, len(joints)))
        self.friction = np.zeros((count, len(joints)))  # N·m, what the torque in the gears adds to dry friction

    def reset(self, ids: npt.NDArray[np.intp], command: Floats, torque: Floats) -> None:
        """These arms have been held by this command, which made this torque (N·m)."""
        self.torque[ids] = torque
        self.following.reset(ids, command)

    def holding(self, q: Floats, weight: Floats) -> Floats:
        """The command that holds a nominal arm where it stands against this weight (N·m)."""
        if self.meaning == "torque":
            return weight
        if self.meaning == "duty":
            duty: Floats = weight * self._duty_per_torque
            return duty
        goal: Floats = q + weight / self._spring  # a position loop is a spring: the arm hangs below its goal
        return goal

    def torque_of(self, command: Floats) -> Floats | None:
        """N·m that nominal servos make of a command at rest; None: of a position."""
        if self.meaning == "position_delta":
            return None
        made: Floats = command if self.meaning == "torque" else command / self._duty_per_torque
        return made

    def step(self, command: Floats, q: Floats, dq: Floats) -> Floats:
        """Torques at the joints (N·m) for this command, at these true angles and speeds; also sets `friction`."""
        emf = self.constant * dq
        if self.meaning == "torque":
            wanted = np.clip(command, -self.torque_limit, self.torque_limit)
            amps = wanted / self._nominal
            amps = np.clip(amps, (-self.voltage - emf) / self.resistance, (self.voltage - emf) / self.resistance)
            torque = amps * self.constant
            torque = np.clip(torque, self.torque - self.slew, self.torque + self.slew)
        else:
            if self.meaning == "duty":
                duty = command
            else:
                goal = self.following.follow(command, q)
                duty = self._stiffness * (goal - q) + self._damping * (self.following.v - dq)
            torque = (np.clip(duty, -1.0, 1.0) * self.voltage - emf) / self.resistance * self.constant
            if self.meaning == "duty":  # the runtime bounds duties by the joint's torque limit
                torque = np.clip(torque, -self.torque_limit, self.torque_limit)
        self.torque[:] = torque
        np.abs(torque, out=self.friction)
        np.multiply(self.friction, self.load_friction, out=self.friction)
        return self.torque


def _position_gains(joint: JointSpec) -> tuple[float, float]:
    """Duty for an error of 1 rad, and for one that changes by 1 rad/s."""
    servo = joint.servo
    unit = servo.units["pwm"].scale / servo.units["position"].scale * joint.gear
    p, d = joint.gain("position_p_gain"), joint.gain("position_d_gain")
    return p * POSITION_P * unit, d * POSITION_D * unit * 1e-3
