"""What can be wrong with an arm as a whole."""

from __future__ import annotations


class ArmError(Exception):
    """Base of what an arm raises beyond the bus's errors."""


class WrongServoError(ArmError):
    """A servo is not the model that the arm file names.

    Example scenarios:
        - Two servos were given each other's IDs.
        - Another arm is connected.
    """


class ServoSettingError(ArmError):
    """A setting in a servo's EEPROM contradicts the arm file.

    Example scenarios:
        - The drive mode reverses the servo, so every sign in the arm file would be wrong.
        - The homing offset was changed by another program since `robot-setup zero`.
    """


class FollowerError(ArmError):
    """A servo that the arm file does not name obeys what is written to one that it does: its Secondary ID says so.

    Example scenarios:
        - Two servos move one joint, as in the shoulders of WidowX and ViperX, and the arm file names the first alone.
        - A servo from another arm, or one that was set up for another program, is on the same cable.
    """


class ServosDisagreeError(ArmError):
    """The two servos of a joint do not read the same angle, though they sit on one axle; torque stays off.

    Example scenarios:
        - The joint was never zeroed, and one horn sits a few teeth further than the other.
        - A horn has slipped, or one of the encoders has lost its place.
    """


class EncoderWrapError(ArmError):
    """A joint reads an angle outside its limits by about a whole turn of the servo.

    Example scenarios:
        - The servo was turned past its wrap by hand while it had power.
        - The arm was zeroed on the other side of the wrap, or lost its turn count in a power cycle.
    """


class OutsideLimitsError(ArmError):
    """A joint stands outside its limits; torque stays off.

    Example scenarios:
        - The arm was folded by hand beyond its range.
    """


class TorqueIsOnError(ArmError):
    """Something needs torque off, and a servo holds torque: the arm may be carrying its own weight.

    Example scenarios:
        - An earlier program ended without letting go.
    """


class TorqueOnError(ArmError):
    """Torque could not be switched on without moving the arm; it was switched off again.

    Example scenarios:
        - The servo's goal did not follow to its present position.
        - A servo has shut itself down (overload, overheating) and waits for a reboot.
    """


class TorqueStaysError(ArmError):
    """Torque could not be switched on everywhere, and a servo does not confirm that it is off again.

    Example scenarios:
        - A servo's data line broke just after its torque came on: it holds, and hears nothing.
    """

    def __init__(self, first: Exception, stays: Exception) -> None:
        super().__init__(f"{first}; torque may still be on: {stays}")
        self.first = first
        """Why torque did not come on everywhere."""


class CommandError(ArmError, ValueError):
    """A command that cannot be sent; nothing was.

    Example scenarios:
        - A value is not finite.
        - The number of values is not the number of joints.
    """
