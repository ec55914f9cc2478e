"""Which joints of an arm are moved, fitted and mapped."""

from __future__ import annotations

from calibration.physics.law import MODES
from robot_runtime.spec import ArmSpec
from sim.worlds.arm import leaders


def fitted_joints(spec: ArmSpec) -> tuple[str, ...]:
    """Those whose servo's law is known, without those that others follow: a gripper that drives its fingers is held, as
    its world has no couplings.

    Raises:
        ArmSpecError: the arm's MJCF cannot be read.
    """
    led = leaders(spec)
    return tuple(joint.name for joint in spec.joints if joint.mode in MODES and joint.name not in led)
