"""What the simulator's arm weighs, and this one more or less than it: torques that the masses make at every pose."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from robot_runtime.arm import Kinematics
from robot_runtime.arrays import Floats
from robot_runtime.calibrated.file import Number
from robot_runtime.spec import ArmSpec

GRAVITY = 9.81
"""m/s², MuJoCo's."""

LINK_MASS, PAYLOAD = "link_mass", "payload"
"""Labels of the physics: 'JOINT.link_mass', a factor; 'payload', kg at the tip."""


class ExtraWeight:
    """Torques (N·m) against gravity: `own` of the simulator's arm, `torque` of the difference in mass."""

    def __init__(self, spec: ArmSpec, physics: Mapping[str, Number]) -> None:
        """From the identified numbers; without such numbers there is no difference."""
        factors = {
            name: physics[f"{name}.{LINK_MASS}"].value - 1.0
            for name in spec.joint_names
            if f"{name}.{LINK_MASS}" in physics
        }
        payload = physics[PAYLOAD].value if PAYLOAD in physics else 0.0
        self.own: Floats = np.zeros(len(spec.joints))
        self.torque: Floats = np.zeros(len(spec.joints))
        self.any = any(factors.values()) or payload != 0.0
        self._payload = payload * GRAVITY
        self._simulated = Kinematics(spec)
        self._difference: Kinematics | None = None
        if self.any:
            self._difference = Kinematics(spec)
            self._difference.weigh_only(factors)

    def at(self, q: Floats) -> None:
        """Into `own` and `torque`, at these angles (rad)."""
        self._simulated.gravity(q, self.own)
        if self._difference is None:
            return
        self._difference.gravity(q, self.torque)
        if self._payload:
            self.torque += self._payload * self._difference.tip_jacobian(q)[2]
