"""The real arm, or its twin, as a Gymnasium environment: any library evaluates or trains on it, guarded as any flight.

import gymnasium, sim.tasks
env = gymnasium.make("RobotRuntime/RealArm-v0", task="reach", arm="open-manipulator-x", port="/dev/ttyUSB0")
"""

from sim.real_arm.env import RealArm
from sim.real_arm.errors import ArmStoppedError, PreflightFailedError, RealArmError

__all__ = ["ArmStoppedError", "PreflightFailedError", "RealArm", "RealArmError"]
