"""Servo models as data."""

from robot_runtime.servos.model import (
    Indirect,
    Motor,
    Register,
    ServoDataError,
    ServoModel,
    Unit,
    UnknownServoError,
    servo_baudrates,
    servo_model,
    servo_model_by_number,
    servo_model_names,
)

__all__ = [
    "Indirect",
    "Motor",
    "Register",
    "ServoDataError",
    "ServoModel",
    "Unit",
    "UnknownServoError",
    "servo_baudrates",
    "servo_model",
    "servo_model_by_number",
    "servo_model_names",
]
