"""The arm: joints in SI units on top of the bus."""

from robot_runtime.arm.arm import Arm
from robot_runtime.arm.errors import (
    ArmError,
    CommandError,
    EncoderWrapError,
    FollowerError,
    OutsideLimitsError,
    ServoSettingError,
    TorqueIsOnError,
    TorqueOnError,
    TorqueStaysError,
    WrongServoError,
)
from robot_runtime.arm.kinematics import Clearance, Kinematics
from robot_runtime.arm.motion import Move
from robot_runtime.arm.state import JointCommand, JointState
from robot_runtime.arm.trouble import troubles

__all__ = [
    "Arm",
    "ArmError",
    "Clearance",
    "CommandError",
    "EncoderWrapError",
    "FollowerError",
    "JointCommand",
    "JointState",
    "Kinematics",
    "Move",
    "OutsideLimitsError",
    "ServoSettingError",
    "TorqueIsOnError",
    "TorqueOnError",
    "TorqueStaysError",
    "WrongServoError",
    "troubles",
]
