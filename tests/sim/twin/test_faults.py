"""Faults: how they are written, when they strike, and what then happens."""

from __future__ import annotations

import math

import pytest

from sim.twin.faults import CATALOGUE, FaultSpecError, fault_help, parse_fault
from sim.twin.packets import instruction_packet, status_packet
from sim.twin.servo import BOOT_TIME
from sim.twin.twin import Twin
from tests.sim.twin.bench import ask, bench_twin, read_packet, still, sync_read_packet, write_packet

PING = instruction_packet(11, 0x01)
SYNC = sync_read_packet(132, 4, [11, 12, 13])


def pong(twin: Twin) -> bytes:
    return status_packet(11, 0, (1020).to_bytes(2, "little") + bytes([twin.servos[0].firmware]))


# -- descriptions --------------------------------------------------------------------------------------


def test_a_description_is_read() -> None:
    fault = parse_fault("stuck-shaft:servo=13,at=2.5,for=1.0")
    assert (fault.name, fault.servo, fault.at, fault.duration, fault.p) == ("stuck-shaft", "13", 2.5, 1.0, 1.0)
    fault = parse_fault("packet-flipped:p=0.01,bits=3,way=both")
    assert (fault.p, fault.amount, fault.way, fault.duration) == (0.01, 3, "both", math.inf)
    assert parse_fault("brown-out:servo=1").duration < 0.1, "each kind has its own default"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("stuck-shift:servo=1", "known: packet-lost, .*stuck-shaft"),
        ("packet-lost:q=1", "takes each of servo, at, for, p, way once"),
        ("packet-lost:p", "as key=value"),
        ("packet-lost:p=1,p=1", "once"),
        ("packet-lost:p=1.5", "probability"),
        ("packet-lost:p=nan", "not a number"),
        ("packet-lost:at=-1", "from 0 up"),
        ("packet-lost:way=up", "known: reply, instruction, both"),
        ("stuck-shaft", "which servo"),
        ("hot:servo=1,for=1", "takes each of servo, at, celsius"),
        ("", "unknown fault ''"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(spec: str, says: str) -> None:
    with pytest.raises(FaultSpecError, match=says):
        parse_fault(spec)


def test_a_servo_that_is_not_there_is_refused() -> None:
    with pytest.raises(FaultSpecError, match=r"no servo '99'; there are 11 \(joint1\), 12 \(joint2\)"):
        bench_twin(faults=["servo-dead:servo=99"])


def test_the_help_names_every_fault() -> None:
    assert all(name in fault_help() for name in CATALOGUE)


def test_the_help_tells_how_long_a_fault_lasts_that_has_a_duration_of_its_own() -> None:
    lines = {line.split()[0]: line for line in fault_help().splitlines()}
    assert lines["voltage-dip"].endswith("(servo, at, for=0.2, volts)")
    assert lines["stuck-shaft"].endswith("(servo, at, for)"), "it lasts for good"


def test_a_hand_turns_one_joint_in_its_time() -> None:
    twin = bench_twin(faults=["hand:servo=joint2,at=0.5,for=1.5,rad=-0.3"])
    twin.advance(0.4)
    assert still(twin).log == []
    twin.advance(0.6)
    assert still(twin).log == [("hand", (1, -0.3, 1.5))]


def test_every_fault_can_be_injected_and_survived() -> None:
    for name in CATALOGUE:
        twin = bench_twin()
        twin.inject(f"{name}:servo=joint2,at=0.01" if CATALOGUE[name].needs_servo else name)
        for _ in range(5):
            twin.advance(twin.time + 0.1)
            if twin.plugged:
                ask(twin, SYNC)


# -- packets -------------------------------------------------------------------------------------------


def test_a_lost_reply_leaves_a_gap_and_the_others() -> None:
    twin = bench_twin(faults=["packet-lost:servo=12"])
    stream = ask(twin, SYNC)
    assert len(stream) == 30
    assert [stream[4], stream[19]] == [11, 13], "the servo behind heard it: only the host did not"
    assert ask(twin, PING) == pong(twin)


def test_a_lost_reply_takes_its_time_on_the_wire() -> None:
    def last_arrival(twin: Twin) -> float:
        twin.transmit(SYNC)
        last = 0.0
        while twin.due() < 0.1:
            twin.advance(twin.due())
            if twin.take():
                last = twin.time
        return last

    assert last_arrival(bench_twin(faults=["packet-lost:servo=12"])) == pytest.approx(last_arrival(bench_twin()))


def test_a_lost_block_shortens_a_fast_read() -> None:
    twin = bench_twin(faults=["packet-lost:servo=12"])
    assert len(ask(twin, sync_read_packet(132, 4, [11, 12, 13], fast=True))) == 8 + 2 * 8


def test_a_lost_instruction_is_not_done() -> None:
    twin = bench_twin(faults=["packet-lost:way=instruction"])
    assert ask(twin, write_packet(11, 65, b"\1")) == b""
    assert twin.servos[0].get("led") == 0


def test_an_instruction_fault_of_one_servo_strikes_what_is_said_to_it() -> None:
    twin = bench_twin(faults=["packet-lost:way=instruction,servo=12"])
    assert ask(twin, PING) == pong(twin)
    assert ask(twin, instruction_packet(12, 0x01)) == b""
    assert ask(twin, SYNC) == b""


def test_a_flipped_instruction_is_answered_by_a_crc_error() -> None:
    twin = bench_twin(faults=["packet-flipped:way=instruction"])
    assert ask(twin, PING) == status_packet(11, 3)


@pytest.mark.parametrize("bits", [1, 4])
def test_bits_are_flipped(bits: int) -> None:
    twin = bench_twin(faults=[f"packet-flipped:bits={bits}"])
    reply = ask(twin, PING)
    flipped = sum((a ^ b).bit_count() for a, b in zip(reply, pong(twin), strict=True))
    assert flipped == bits


def test_a_late_reply_comes_late() -> None:
    twin = bench_twin(faults=["packet-late:by=0.03"])
    assert ask(twin, PING, wait=0.03) == b""
    twin.advance(twin.time + 0.001)
    assert twin.take() == pong(twin)


def test_a_late_reply_comes_late_without_wire_time_too() -> None:
    twin = bench_twin(faults=["packet-late:by=0.03"], wire_time=False)
    assert ask(twin, PING, wait=0.029) == b""
    twin.advance(twin.time + 0.002)
    assert twin.take() == pong(twin)


def test_garbage_precedes_a_reply() -> None:
    twin = bench_twin(faults=["garbage:bytes=5"])
    reply = ask(twin, PING)
    assert len(reply) == 19
    assert reply[5:] == pong(twin)


def test_a_burst_of_garbage_comes_unasked() -> None:
    twin = bench_twin(faults=["garbage:bytes=40,at=0.5"])
    twin.advance(0.49)
    assert twin.take() == b""
    twin.advance(0.51)
    assert len(twin.take()) == 40
    assert ask(twin, PING) == pong(twin), "once"


def test_packet_faults_begin_and_end() -> None:
    twin = bench_twin(faults=["packet-lost:at=1.0,for=1.0"])
    heard = []
    for time in (0.5, 1.5, 2.5):
        twin.advance(time)
        heard.append(bool(ask(twin, PING)))
    assert heard == [True, False, True]


def outcomes(seed: int) -> list[bytes]:
    twin = bench_twin(faults=["packet-lost:p=0.3", "packet-flipped:p=0.2"], seed=seed)
    return [ask(twin, PING) for _ in range(100)]


def test_chance_repeats_by_seed_and_keeps_its_probability() -> None:
    assert outcomes(1) == outcomes(1) != outcomes(2)
    lost = sum(reply == b"" for reply in outcomes(3))
    assert 15 <= lost <= 45


# -- servos --------------------------------------------------------------------------------------------


def test_a_dead_servo_has_no_power_and_never_answers() -> None:
    twin = bench_twin(faults=["servo-dead:servo=11,at=0.1"])
    assert ask(twin, PING) != b""
    ask(twin, write_packet(11, 64, b"\1"))
    twin.advance(0.2)
    assert ask(twin, PING) == b""
    assert not still(twin).powered[0]
    assert not still(twin).torque_on[0]
    twin.advance(5.0)
    assert ask(twin, PING) == b""


def test_a_silent_servo_drives_on_and_comes_back() -> None:
    twin = bench_twin()
    ask(twin, write_packet(11, 64, b"\1"))
    twin.inject("servo-silent:servo=11,for=0.5")
    ask(twin, write_packet(11, 65, b"\1"))
    assert still(twin).torque_on[0]
    assert ask(twin, PING) == b""
    twin.advance(twin.time + 0.5)
    assert ask(twin, PING) == pong(twin)
    assert twin.servos[0].get("led") == 0, "deaf, too"


def test_a_silent_servos_watchdog_trips() -> None:
    twin = bench_twin()
    ask(twin, write_packet(11, 64, b"\1"))
    ask(twin, write_packet(11, 98, b"\2"))
    twin.inject("servo-silent:servo=11,for=0.5")
    for _ in range(10):
        ask(twin, instruction_packet(12, 0x01))
    assert twin.servos[0].get("bus_watchdog") == -1


def test_a_brown_out_is_a_silent_reboot() -> None:
    twin = bench_twin()
    ask(twin, write_packet(11, 11, b"\0"))
    for start, data in ((64, b"\1"), (98, b"\5"), (168, b"\x92\x00")):
        ask(twin, write_packet(11, start, data))
    twin.inject("brown-out:servo=11")
    twin.advance(twin.time + 0.05)
    assert ask(twin, PING) == b""
    twin.advance(twin.time + BOOT_TIME)
    assert ask(twin, PING) == pong(twin)
    servo = twin.servos[0]
    assert [servo.get(n) for n in ("torque_enable", "bus_watchdog", "indirect_address_1")] == [0, 0, 224]
    assert servo.get("operating_mode") == 0, "EEPROM is kept"
    assert servo.get("hardware_error_status") == 0, "nothing tells of it"


def test_a_power_cycle_reboots_every_servo() -> None:
    twin = bench_twin()
    ask(twin, write_packet(254, 64, b"\1"))
    twin.inject("power-cycled:for=0.2")
    twin.advance(twin.time + 0.1)
    assert not still(twin).powered.any()
    assert ask(twin, SYNC) == b""
    twin.advance(twin.time + 0.2 + BOOT_TIME)
    assert len(ask(twin, SYNC)) == 45
    assert not still(twin).torque_on.any()
    assert still(twin).powered.all()


def test_a_servo_mended_while_it_has_no_power_stays_silent() -> None:
    twin = bench_twin(faults=["servo-silent:servo=11,for=0.1", "servo-dead:servo=11"])
    twin.advance(1.0)
    assert ask(twin, PING) == b""


def test_a_stuck_shaft_is_let_go() -> None:
    twin = bench_twin(faults=["stuck-shaft:servo=joint3,at=0.1,for=0.2"])
    twin.advance(0.5)
    assert still(twin).log == [("stick", (2, True)), ("stick", (2, False))]


def test_hot_overload_and_voltage_dip_raise_their_errors() -> None:
    twin = bench_twin(faults=["hot:servo=11", "overload:servo=12"])
    twin.advance(0.1)
    assert [s.get("hardware_error_status") for s in twin.servos] == [0x04, 0x20, 0]
    twin = bench_twin(faults=["voltage-dip:for=0.1"])
    twin.advance(0.05)
    assert twin.servos[0].get("present_input_voltage") == 60
    twin.advance(0.5)
    assert twin.servos[0].get("present_input_voltage") == 120
    assert [s.get("hardware_error_status") for s in twin.servos] == [1, 1, 1]


def test_an_encoder_jump_moves_the_reading() -> None:
    twin = bench_twin(faults=["encoder-jump:servo=11,ticks=-300,at=0.1"])
    twin.advance(0.2)
    assert ask(twin, read_packet(11, 132, 4))[9:13] == (2048 - 300).to_bytes(4, "little")


def test_a_stale_goal_makes_torque_on_move() -> None:
    twin = bench_twin(faults=["stale-goal:servo=11"])
    for servo_id in (11, 12):
        ask(twin, write_packet(servo_id, 116, (1000).to_bytes(4, "little")))
        ask(twin, write_packet(servo_id, 64, b"\1"))
    assert list(still(twin).goal_position[:2]) == [1000, 2058]


def test_unplugged_and_plugged_in_again() -> None:
    twin = bench_twin(faults=["unplugged:at=0.1,for=0.2"])
    twin.advance(0.15)
    with pytest.raises(OSError, match="unplugged"):
        twin.transmit(PING)
    with pytest.raises(OSError, match="unplugged"):
        twin.take()
    twin.advance(0.35)
    assert ask(twin, PING) == pong(twin)
