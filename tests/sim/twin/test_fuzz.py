"""Anything that a host may send: the twin never raises, never hangs, and goes on answering."""

from __future__ import annotations

import random

import pytest

from sim.twin.packets import BROADCAST_ID, instruction_packet
from sim.twin.twin import Twin
from tests.sim.twin.bench import ask, bench_twin

MODELS = ("XM430-W350", "XL430-W250", "XL330-M288", "XM540-W270")
INSTRUCTIONS = (*range(0x01, 0x09), 0x10, 0x20, 0x55, 0x82, 0x83, 0x8A, 0x92, 0x93, 0x9A, 0xFF)


def anything(dice: random.Random) -> bytes:
    """A well-formed packet that says something odd, or plain noise."""
    if dice.random() < 0.1:
        return dice.randbytes(dice.randrange(40))
    params = bytearray(dice.randbytes(dice.randrange(14)))
    if params and dice.random() < 0.7:  # an address that exists, mostly
        params[0:2] = dice.randrange(256).to_bytes(2, "little")
    if len(params) > 4 and dice.random() < 0.7:  # a length that makes sense, and an ID
        params[2:5] = bytes((dice.randrange(12), 0, dice.randrange(10, 16)))
    return instruction_packet(dice.choice((11, 12, 13, 14, 99, BROADCAST_ID)), dice.choice(INSTRUCTIONS), bytes(params))


def storm(twin: Twin, rounds: int, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(rounds):
        ask(twin, anything(dice), wait=dice.choice((0.0, 0.0001, 0.003, 0.5)))
    for servo in twin.servos:  # whatever they were told: switched off and on, they answer
        servo.power_off()
        twin.line.reboot(servo, twin.time)
    twin.advance(twin.time + 1.0)
    for servo in twin.servos:
        twin.line.baudrate = servo.baudrate
        if sum(other.id == servo.id and other.baudrate == servo.baudrate for other in twin.servos) == 1:
            twin.advance(twin.time + 0.1)
            twin.take()
            assert ask(twin, instruction_packet(servo.id, 0x01), wait=0.1)[4] == servo.id


@pytest.mark.parametrize("wire_time", [True, False])
def test_a_storm_of_odd_instructions(wire_time: bool) -> None:
    storm(bench_twin(MODELS, wire_time=wire_time), 500, seed=1)


def test_a_storm_with_faults() -> None:
    faults = ["packet-flipped:p=0.2,way=both", "packet-late:p=0.2", "garbage:p=0.2", "packet-lost:p=0.2,way=both"]
    twin = bench_twin(MODELS, faults=faults)
    dice = random.Random(2)
    for _ in range(500):
        ask(twin, anything(dice), wait=dice.choice((0.0, 0.003)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_many_storms(seed: int) -> None:
    storm(bench_twin(MODELS, wire_time=bool(seed % 2)), 20_000, seed)
