"""Prepared writes are the SDK's bytes, stuffed where they must be."""

from __future__ import annotations

import struct

import dynamixel_sdk as sdk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_runtime.bus import GroupWrite
from robot_runtime.servos import servo_model
from tests.robot_runtime.bus.sdk_reference import RecordingPort

XM = servo_model("XM430-W350")
POSITION, CURRENT, PWM = XM.register("goal_position"), XM.register("goal_current"), XM.register("goal_pwm")


ticks = st.one_of(st.integers(-(2**31), 2**31 - 1), st.sampled_from([-1, -3, -131073, 0xFDFFFF, 0x00FDFFFF]))


@given(st.lists(ticks, min_size=3, max_size=3))
def test_sync_write_is_the_sdks(values: list[int]) -> None:
    port = RecordingPort()
    write = sdk.GroupSyncWrite(port, sdk.PacketHandler(2.0), POSITION.address, POSITION.size)
    for servo_id, value in zip((1, 2, 3), values, strict=True):
        write.addParam(servo_id, list(struct.pack("<i", value)))
    write.txPacket()
    assert bytes(GroupWrite([(i, POSITION) for i in (1, 2, 3)]).packet(values)) == port.sent


@given(ticks, st.integers(-32768, 32767), st.integers(-885, 885))
def test_mixed_registers_make_the_sdks_bulk_write(position: int, current: int, pwm: int) -> None:
    port = RecordingPort()
    write = sdk.GroupBulkWrite(port, sdk.PacketHandler(2.0))
    write.addParam(1, POSITION.address, 4, list(struct.pack("<i", position)))
    write.addParam(2, CURRENT.address, 2, list(struct.pack("<h", current)))
    write.addParam(3, PWM.address, 2, list(struct.pack("<h", pwm)))
    write.txPacket()
    assert bytes(GroupWrite([(1, POSITION), (2, CURRENT), (3, PWM)]).packet([position, current, pwm])) == port.sent


def test_stuffed_once_does_not_stay() -> None:
    group = GroupWrite([(1, POSITION), (2, POSITION)])
    before = bytes(group.packet([5, 6]))
    assert len(group.packet([0xFDFFFF, 6])) == len(before) + 1
    assert bytes(group.packet([5, 6])) == before


def test_a_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(struct.error):
        GroupWrite([(1, CURRENT)]).packet([40_000])
