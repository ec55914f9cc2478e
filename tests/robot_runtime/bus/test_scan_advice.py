"""What a scan means as a whole: findings that repeat are said once, the worst comes first."""

from __future__ import annotations

from robot_runtime.bus import Bus
from robot_runtime.bus.scan import FoundServo, Scan, scan
from robot_runtime.bus.scan_advice import advise_scan
from robot_runtime.servos.advice import Severity
from sim.twin.lockstep import LockstepPort
from tests.sim.twin.bench import bench_twin


def whats(result: Scan, latency_timer: str | None = None) -> dict[str, tuple[int, ...]]:
    return {entry.finding.what: entry.servo_ids for entry in advise_scan(result, latency_timer)}


def test_factory_fresh_servos_share_their_findings() -> None:
    twin = bench_twin(("XM430-W350", "XM430-W350"), ids=(1, 2))
    for servo in twin.servos:
        servo.set_eeprom(return_delay_time=250)
    found = whats(scan(Bus(LockstepPort(twin)), [1_000_000]))
    assert found["return delay 500 µs (250, the factory's)"] == (1, 2)


def test_different_rates_on_one_bus_are_a_finding_of_the_bus() -> None:
    twin = bench_twin(("XM430-W350", "XM430-W350"), ids=(1, 2))
    twin.servos[1].set_eeprom(baud_rate=1)
    found = whats(scan(Bus(LockstepPort(twin)), [1_000_000, 57_600]))
    assert found["servos at different baud rates: 57600, 1000000 bit/s"] == ()
    assert found["slow: 57600 bit/s"] == (2,)


def test_a_shared_id_is_an_error_that_says_how_to_part_them() -> None:
    twin = bench_twin(("XM430-W350", "XM430-W350"), ids=(5, 5))
    first = advise_scan(scan(Bus(LockstepPort(twin)), [1_000_000]))[0]
    assert first.finding.severity is Severity.ERROR
    assert first.finding.what == "several servos share ID 5 at 1000000 bit/s"
    assert "robot-setup servo" in first.finding.fix


def test_the_latency_timer_is_said() -> None:
    assert "USB latency timer" in whats(Scan((), (1_000_000,), ()), "the adapter holds replies up to 16 ms")
    assert whats(Scan((), (1_000_000,), ())) == {}


def test_unknown_models_mute_servos_and_bad_lines() -> None:
    unknown = FoundServo(3, 1_000_000, 350, 42, None, shared=False, damaged=0, looks=8)
    mute = FoundServo(4, 1_000_000, 1020, None, None, shared=False, damaged=8, looks=8)
    noisy = FoundServo(5, 1_000_000, 350, 42, None, shared=False, damaged=2, looks=8)
    found = whats(Scan((unknown, mute, noisy), (1_000_000,), ()))
    assert found["unknown model, number 350"] == (3, 5)
    assert found["answers pings but no reads"] == (4,)
    assert found["damaged or lost replies"] == (5,)
