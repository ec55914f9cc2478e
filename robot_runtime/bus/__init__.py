"""Bytes on the wire: packets, ports, and the bus."""

from robot_runtime.bus.bus import Bus, BusStatistics
from robot_runtime.bus.errors import (
    BusError,
    CorruptReplyError,
    DuplicateIdError,
    MissingServosError,
    NoReplyError,
    PortError,
    PortInUseError,
    PortNotFoundError,
    PortPermissionError,
    PortSettingError,
    PortStuckError,
    PortVanishedError,
    ServoError,
    ServoRefusedError,
    VerifyError,
    WrongBaudError,
)
from robot_runtime.bus.group_read import GroupRead
from robot_runtime.bus.group_write import GroupWrite
from robot_runtime.bus.port import Port
from robot_runtime.bus.sdk_link import Identity
from robot_runtime.bus.serial_port import SerialPort

__all__ = [
    "Bus",
    "BusError",
    "BusStatistics",
    "CorruptReplyError",
    "DuplicateIdError",
    "GroupRead",
    "GroupWrite",
    "Identity",
    "MissingServosError",
    "NoReplyError",
    "Port",
    "PortError",
    "PortInUseError",
    "PortNotFoundError",
    "PortPermissionError",
    "PortSettingError",
    "PortStuckError",
    "PortVanishedError",
    "SerialPort",
    "ServoError",
    "ServoRefusedError",
    "VerifyError",
    "WrongBaudError",
]
