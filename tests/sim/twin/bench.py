"""A plant without physics and an arm without files, to test firmware and bus alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from robot_runtime.arrays import Ints
from sim.twin.adapter import AdapterTiming
from sim.twin.arm_file import TwinArm, TwinJoint
from sim.twin.packets import BROADCAST_ID, instruction_packet
from sim.twin.servo_data import load_servo
from sim.twin.twin import Twin


class StillPlant:
    """Shafts that stand where they were put, `turned` ticks from the encoder's zero; nothing moves by itself."""

    mode: Ints
    goal_pwm: Ints
    goal_current: Ints
    goal_velocity: Ints
    goal_position: Ints
    pwm_limit: Ints
    current_limit: Ints
    velocity_limit: Ints
    min_position_limit: Ints
    max_position_limit: Ints
    homing_offset: Ints
    drive_mode: Ints
    pwm_slope: Ints
    profile_velocity: Ints
    profile_acceleration: Ints
    position_p_gain: Ints
    position_i_gain: Ints
    position_d_gain: Ints
    velocity_p_gain: Ints
    velocity_i_gain: Ints
    feedforward_1st_gain: Ints
    feedforward_2nd_gain: Ints
    moving_threshold: Ints
    present_pwm: Ints
    present_current: Ints
    present_velocity: Ints
    present_position: Ints
    velocity_trajectory: Ints
    position_trajectory: Ints
    present_input_voltage: Ints
    present_temperature: Ints
    moving: Ints
    moving_status: Ints
    period = 0.001  # s

    def __init__(self, count: int) -> None:
        self.time = 0.0
        self.steps = 0
        for name in StillPlant.__annotations__:
            setattr(self, name, np.zeros(count, dtype=np.int64))
        self.torque_on = np.zeros(count, dtype=np.bool_)
        self.powered = np.zeros(count, dtype=np.bool_)
        self.present_input_voltage[:] = 120
        self.present_temperature[:] = 30
        self.turned = [2048 + 10 * i for i in range(count)]
        self.log: list[tuple[str, object]] = []
        for i in range(count):
            self.turn(i, self.turned[i])

    def turn(self, i: int, ticks: int) -> None:
        """Put the shaft there; the reading follows, turns included."""
        self.turned[i] = ticks
        self.present_position[i] = ticks + self.homing_offset[i]

    def step(self) -> None:
        self.steps += 1
        self.time = self.steps * self.period

    def inputs_changed(self, i: int) -> None:
        pass

    def restart(self, i: int) -> None:
        self.turn(i, self.turned[i] % 4096)

    def stick(self, i: int, stuck: bool) -> None:
        self.log.append(("stick", (i, stuck)))

    def set_temperature(self, i: int, celsius: float) -> None:
        self.present_temperature[i] = int(celsius)

    def set_supply(self, volts: float | None) -> None:
        self.present_input_voltage[:] = 120 if volts is None else round(10 * volts)

    def hand(self, i: int, radians: float, seconds: float) -> None:
        self.log.append(("hand", (i, radians, seconds)))

    def misread(self, i: int, ticks: int) -> None:
        self.log.append(("misread", (i, ticks)))

    def encoder_jump(self, i: int, ticks: int) -> None:
        self.turn(i, self.turned[i] + ticks)


def bench_arm(
    models: Sequence[str] = ("XM430-W350",) * 3, ids: Sequence[int] = (), baudrate: int = 1_000_000
) -> TwinArm:
    """An arm with these servos; the IDs count from 11 unless given."""
    numbers = ids or range(11, 11 + len(models))
    joints = tuple(
        TwinJoint(f"joint{n}", servo_id, model, "position", 1, 0.0, 1.0)
        for n, (servo_id, model) in enumerate(zip(numbers, models, strict=True), start=1)
    )
    return TwinArm(
        name="bench",
        file=Path("bench"),
        mjcf=Path("bench"),
        tip="tip",
        baudrate=baudrate,
        supply=(11.0, 13.0),
        joints=joints,
        poses=MappingProxyType({}),
    )


def bench_twin(
    models: Sequence[str] = ("XM430-W350",) * 3,
    *,
    ids: Sequence[int] = (),
    adapter: AdapterTiming = AdapterTiming(),  # noqa: B008 - frozen
    faults: Sequence[str] = (),
    firmware: Mapping[int, int] | None = None,
    wire_time: bool = True,
    factory: bool = False,
    seed: int = 0,
    plugs: Mapping[str, float] | None = None,
) -> Twin:
    """A twin over a still plant."""
    return Twin(
        bench_arm(models, ids),
        plant=StillPlant(len(models)),
        adapter=adapter,
        faults=faults,
        firmware=firmware,
        wire_time=wire_time,
        factory=factory,
        seed=seed,
        plugs=plugs,
    )


def still(twin: Twin) -> StillPlant:
    """The plant of such a twin."""
    assert isinstance(twin.plant, StillPlant)
    return twin.plant


def ask(twin: Twin, packet: bytes, wait: float = 0.02) -> bytes:
    """Send a packet, let `wait` seconds pass, return what came."""
    twin.transmit(packet)
    twin.advance(twin.time + wait)
    return twin.take()


def address(model: str, register: str) -> int:
    """Where a register lies."""
    return load_servo(model).registers[register].address


def read_packet(servo_id: int, start: int, length: int) -> bytes:
    """A Read instruction."""
    return instruction_packet(servo_id, 0x02, start.to_bytes(2, "little") + length.to_bytes(2, "little"))


def write_packet(servo_id: int, start: int, data: bytes) -> bytes:
    """A Write instruction."""
    return instruction_packet(servo_id, 0x03, start.to_bytes(2, "little") + data)


def sync_read_packet(start: int, length: int, ids: Sequence[int], *, fast: bool = False) -> bytes:
    """A Sync Read or Fast Sync Read instruction."""
    params = start.to_bytes(2, "little") + length.to_bytes(2, "little") + bytes(ids)
    return instruction_packet(BROADCAST_ID, 0x8A if fast else 0x82, params)


def sync_write_packet(start: int, entries: Mapping[int, bytes]) -> bytes:
    """A Sync Write instruction."""
    length = len(next(iter(entries.values())))
    params = start.to_bytes(2, "little") + length.to_bytes(2, "little")
    return instruction_packet(BROADCAST_ID, 0x83, params + b"".join(bytes((i,)) + d for i, d in entries.items()))
