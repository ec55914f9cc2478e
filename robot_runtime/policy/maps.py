"""Maps: what stands between an arm and a policy that was made in a simulator.

One turns what the arm senses into what the simulator would have sensed, the other turns the torque that the simulator
would apply into the command that makes the arm do the same. A calibration fits both; without one they are nominal.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from robot_runtime.arm.duty import Duty
from robot_runtime.arm.state import JointState
from robot_runtime.arrays import Flags, Floats
from robot_runtime.spec import ArmSpec


class Maps(Protocol):
    """Both maps of an arm."""

    carries: Flags
    """Joints whose torque it can turn into a command of their mode."""

    def follow(self, sent: Floats, directly: Flags) -> None:
        """Said once, before the first cycle. `sent`: a live array of what was sent last, in the unit of each joint's
        mode; `directly`: joints that follow the policy's own goals or duties.
        """
        ...

    def reset(self, state: JointState, now: float) -> None:
        """Forget what came before this state."""
        ...

    def observe(self, state: JointState, now: float, q: Floats, dq: Floats) -> int:
        """What the simulator would have sensed (rad, rad/s), into `q` and `dq`; returns bits of SourceFlag.

        Called after a reset, and once every bus cycle, after the read.
        """
        ...

    def command(self, torque: Floats, joints: Flags, state: JointState, now: float, values: Floats) -> int:
        """Turn the torques (N·m) of these joints into commands of their modes, into `values`; others' values stay,
        except position goals, which a calibration may correct. Returns bits of SourceFlag.

        Called once every bus cycle, before the envelope.
        """
        ...


class NominalMaps:
    """No calibration: the state as it was read, torque as the servo's nominal physics have it."""

    def __init__(self, spec: ArmSpec) -> None:
        """Joints in current mode take torque as it is, joints in PWM mode as a duty."""
        self._duty = Duty(spec)
        self.carries: Flags = np.array([j.mode in ("current", "pwm") for j in spec.joints])

    def follow(self, sent: Floats, directly: Flags) -> None:
        """What was sent does not matter."""

    def reset(self, state: JointState, now: float) -> None:
        """Nothing is remembered."""

    def observe(self, state: JointState, now: float, q: Floats, dq: Floats) -> int:  # noqa: ARG002
        """As it was read."""
        q[:] = state.q
        dq[:] = state.dq
        return 0

    def command(self, torque: Floats, joints: Flags, state: JointState, now: float, values: Floats) -> int:  # noqa: ARG002
        """Torque as it is, or the duty that makes it at the present speed and voltage."""
        np.copyto(values, torque, where=joints)
        if self._duty.any_pwm:
            np.copyto(values, self._duty.of_torque(torque, state), where=joints & self._duty.is_pwm)
        return 0
