"""Scanning: every baud rate and ID, several servos, servos that share an ID, models nobody knows."""

from __future__ import annotations

import errno

import pytest

from robot_runtime.bus import Bus, PortSettingError
from robot_runtime.bus.scan import known_baudrates, read_registers, scan, scan_here, speaks
from robot_runtime.servos import servo_model
from sim.twin.lockstep import LockstepPort
from sim.twin.twin import Twin
from tests.robot_runtime.bus.fake_port import FakePort, Reply, status
from tests.sim.twin.bench import bench_twin

MIXED = ("XL330-M288", "XM430-W350", "XL430-W250")


def bus_of(twin: Twin) -> Bus:
    return Bus(LockstepPort(twin))


def test_all_servos_at_one_rate_with_all_their_registers() -> None:
    twin = bench_twin(MIXED, ids=(1, 2, 30))
    found = scan_here(bus_of(twin))
    assert [(s.servo_id, s.model.name if s.model else None) for s in found] == list(zip((1, 2, 30), MIXED, strict=True))
    for servo, emulated in zip(found, twin.servos, strict=True):
        assert servo.model is not None
        assert not servo.shared
        assert servo.firmware == emulated.firmware
        assert set(servo.values) == set(servo.model.registers)
        assert servo.values["id"] == servo.servo_id


def test_servos_at_different_rates_are_found_where_they_are() -> None:
    twin = bench_twin(MIXED, ids=(1, 1, 5))
    twin.servos[0].set_eeprom(baud_rate=1)
    twin.servos[2].set_eeprom(baud_rate=5)
    twin.line.baudrate = 1_000_000
    bus = bus_of(twin)
    result = scan(bus)
    assert [(s.servo_id, s.baudrate) for s in result.servos] == [(1, 57_600), (1, 1_000_000), (5, 3_000_000)]
    assert not any(s.shared for s in result.servos)
    assert bus.port.baudrate == 1_000_000


def test_every_rate_that_any_model_knows_is_tried_likely_ones_first() -> None:
    rates = known_baudrates()
    assert rates[:2] == (1_000_000, 57_600)
    every = {rate for name in ("XL330-M288", "XM540-W270") for rate in servo_model(name).baudrates}
    assert every <= set(rates)
    assert len(rates) == len(set(rates))
    seen: list[tuple[int, int, int]] = []
    result = scan(bus_of(bench_twin()), progress=lambda *told: seen.append(told))
    assert [rate for rate, _, _ in seen] == list(rates) == list(result.baudrates)
    assert seen[-1][1:] == (len(rates) - 1, len(rates))


def test_two_servos_at_one_id_are_noticed_and_the_others_still_read() -> None:
    found = scan_here(bus_of(bench_twin(MIXED, ids=(7, 7, 8))))
    assert [(s.servo_id, s.shared) for s in found] == [(7, True), (8, False)]
    assert found[0].values == {}
    assert found[1].values


def test_two_servos_fresh_from_the_box() -> None:
    twin = bench_twin(("XL330-M288", "XL330-M288"), factory=True)
    result = scan(bus_of(twin), [1_000_000, 57_600])
    assert [(s.servo_id, s.baudrate, s.shared) for s in result.servos] == [(1, 57_600, True)]


def test_two_servos_whose_pings_are_alike_bit_by_bit_still_show() -> None:
    """Same model, same firmware, same moment: their pings merge into one. Their live registers do not."""

    def answer(request: bytes) -> Reply:
        if request[4] == 0xFE:
            return [(0.001, status(1, (1200).to_bytes(2, "little") + b"\x2e"))]
        if request[7] == 0x02:
            length = request[10] | request[11] << 8
            return [(0.0005, status(1, bytes(length))), (0.0011, status(1, b"\x01" * length))]
        return []

    (servo,) = scan_here(Bus(FakePort(answer)))
    assert servo.shared
    assert servo.damaged == servo.looks


def test_a_model_that_no_data_file_knows_is_shown() -> None:
    def answer(request: bytes) -> Reply:
        if request[4] == 0xFE:
            return [(0.001, status(3, (350).to_bytes(2, "little") + b"\x2a"))]
        if request[7] == 0x02 and request[4] == 3:
            identity = (350).to_bytes(2, "little") + bytes(4) + b"\x2a"
            return [(0.0005, status(3, identity))]
        return []

    (servo,) = scan_here(Bus(FakePort(answer)))
    assert (servo.servo_id, servo.model_number, servo.firmware, servo.model) == (3, 350, 42, None)
    assert not servo.shared


@pytest.mark.parametrize("seed", range(10))
def test_noise_on_the_line_neither_hides_a_servo_nor_makes_up_a_second_one(seed: int) -> None:
    twin = bench_twin(MIXED, ids=(1, 2, 3), faults=["packet-flipped:p=0.02", "packet-lost:p=0.02"], seed=seed)
    found = scan_here(bus_of(twin))
    assert [(s.servo_id, s.shared, s.model.name if s.model else None) for s in found] == [
        (i, False, name) for i, name in zip((1, 2, 3), MIXED, strict=True)
    ]


def test_a_servo_that_answers_pings_only() -> None:
    twin = bench_twin(("XL330-M288",), ids=(4,))
    bus = bus_of(twin)
    twin.servos[0].write(servo_model("XL330-M288").register("status_return_level").address, b"\x00")
    (servo,) = scan_here(bus)
    assert not servo.shared
    assert servo.damaged == servo.looks
    assert servo.values == {}


def test_old_firmware_lacks_registers_and_is_read_all_the_same() -> None:
    twin = bench_twin(("XL330-M288",), ids=(4,), firmware={4: 45})
    (servo,) = scan_here(bus_of(twin))
    assert servo.firmware == 45
    assert "startup_configuration" not in servo.values
    assert "shutdown" in servo.values


def test_a_run_that_the_firmware_refuses_is_read_register_by_register() -> None:
    """The data file may know a register that this firmware lacks."""
    twin = bench_twin(("XL330-M288",), ids=(4,), firmware={4: 45})
    values = read_registers(bus_of(twin), 4, servo_model("XL330-M288"))
    assert "startup_configuration" not in values
    assert {"shutdown", "present_position", "present_temperature"} <= set(values)


def test_nobody_there() -> None:
    twin = bench_twin(("XL330-M288",), ids=(4,))
    twin.cut_power(twin.servos[0])
    result = scan(bus_of(twin), [1_000_000])
    assert result.servos == ()
    assert result.baudrates == (1_000_000,)


def test_a_rate_that_the_adapter_does_not_do_is_passed_over() -> None:
    class Slow(LockstepPort):
        def set_baudrate(self, baudrate: int) -> None:
            if baudrate > 3_000_000:
                raise PortSettingError(errno.EINVAL, f"does not do {baudrate} bit/s", self.name)
            super().set_baudrate(baudrate)

    twin = bench_twin(MIXED, ids=(1, 2, 3))
    result = scan(Bus(Slow(twin)))
    assert result.skipped == (4_000_000, 4_500_000)
    assert len(result.servos) == 3


@pytest.mark.parametrize("ids", [(7, 9), (7, 7)])
def test_speaks_hears_the_garbled_too(ids: tuple[int, int]) -> None:
    bus = bus_of(bench_twin(("XL330-M288", "XM430-W350"), ids=ids))
    assert speaks(bus, 7)
    assert not speaks(bus, 8)


def test_scanning_writes_nothing() -> None:
    instructions: set[int] = set()

    class Listening(LockstepPort):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            instructions.add(bytes(data)[7])
            super().write(data)

    scan(Bus(Listening(bench_twin(MIXED, ids=(1, 1, 3)))))
    assert instructions == {0x01, 0x02}
