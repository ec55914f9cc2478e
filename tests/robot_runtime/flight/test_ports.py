"""A session on the twin, written down and flown again: the same bytes, and the same commands to the last bit."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from robot_runtime.bus import PortVanishedError
from robot_runtime.flight.ports import RecordingPort, ReplayDivergedError, ReplayEndedError, ReplayPort
from robot_runtime.flight.raw import unpack
from robot_runtime.flight.reader import read_flight
from robot_runtime.flight.recorder import FlightRecorder, NullRecorder
from robot_runtime.flight.replay import ReplayInputs, replay
from robot_runtime.flying import Inputs, InputSource
from robot_runtime.spec import load_arm
from tests.robot_runtime.flight.flights import ARM, SMALL, fly, record_twin


class Pieces(NullRecorder):
    """Keeps what goes over the port."""

    def __init__(self) -> None:
        super().__init__(SMALL)
        self.data = b""

    def raw(self, data: bytes) -> None:
        self.data += data


class Script:
    """A port that does what it was told beforehand."""

    name, baudrate, adapter_latency = "script", 57600, 0.001

    def __init__(self) -> None:
        self.time = 0.1
        self.answers: list[bytes | OSError] = []

    def now(self) -> float:
        self.time += 0.1
        return self.time

    def sleep_until(self, time: float) -> None:
        self.time = max(self.time, time)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data == b"gone":
            raise PortVanishedError(errno.EIO, "vanished", self.name)

    def read_into(self, buffer: memoryview, deadline: float) -> int:
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        buffer[: len(answer)] = answer
        return len(answer)

    def discard_input(self) -> int:
        return 70_000

    def set_baudrate(self, baudrate: int) -> None:
        self.baudrate = baudrate

    def close(self) -> None:
        pass


def session(port: RecordingPort | ReplayPort) -> list[object]:
    """Everything that a port can do; what it gave."""
    told: list[object] = [port.now(), port.now(), port.discard_input()]
    port.sleep_until(5.0)
    port.write(b"abc")
    buffer = memoryview(bytearray(8))
    told += [port.read_into(buffer, 1.0), bytes(buffer), port.read_into(buffer, 1.0), port.now()]
    port.set_baudrate(1_000_000)
    told += [port.baudrate, port.adapter_latency]
    for call in (lambda: port.read_into(buffer, 1.0), lambda: port.write(b"gone")):
        try:
            call()
        except OSError as error:
            told.append((type(error), error.errno, error.strerror, error.filename))
    return told


def recorded() -> tuple[list[object], bytes]:
    script, pieces = Script(), Pieces()
    script.answers = [b"12345", b"", OSError(errno.EBADF, "closed")]
    port = RecordingPort(script, pieces)
    told = session(port)
    port.flush()
    return told, pieces.data


def test_a_replayed_port_does_what_the_recorded_one_did() -> None:
    told, data = recorded()
    port = ReplayPort(unpack(data))
    assert session(port) == told
    assert not port.divergences
    assert port.writes == 1
    with pytest.raises(ReplayEndedError):
        port.now()


def test_other_bytes_are_noted_and_the_replay_goes_on() -> None:
    port = ReplayPort(unpack(recorded()[1]))
    port.now()
    port.now()
    port.discard_input()
    port.sleep_until(0.0)
    port.write(b"abd")
    (divergence,) = port.divergences
    assert (divergence.recorded, divergence.replayed) == (b"abc", b"abd")
    assert divergence.time == pytest.approx(0.4)


def test_another_order_of_calls_ends_the_replay() -> None:
    port = ReplayPort(unpack(recorded()[1]))
    with pytest.raises(ReplayDivergedError, match=r"did NOW, the replay does WRITE"):
        port.write(b"abc")


def test_a_missing_piece_ends_the_replay() -> None:
    pieces = Pieces()
    port = RecordingPort(Script(), pieces)
    for _ in range(3):
        port.now()
        port.flush()
    first, _, third = unpack(pieces.data)
    again = ReplayPort([first, third])
    again.now()
    with pytest.raises(ReplayEndedError, match="missing"):
        again.now()


def again(port: object, inputs: InputSource, recorder: FlightRecorder) -> None:
    assert isinstance(port, ReplayPort)
    fly(port, recorder, 200)


@pytest.mark.parametrize("faults", [(), ("packet-lost:p=0.05",)])
def test_an_arm_flies_again_byte_for_byte(tmp_path: Path, faults: Sequence[str]) -> None:
    record_twin(tmp_path / "a.mcap", faults=faults)
    flight = read_flight(tmp_path / "a.mcap")
    assert not flight.truncated
    assert len(flight) == 200
    assert flight["missing"].any() == bool(faults)
    assert np.ptp(flight["q"][:, 0]) > 0.005  # it did move
    flight.extract(tmp_path)
    assert load_arm(tmp_path / "arm").digest == load_arm(ARM).digest
    result = replay(flight, again)
    assert result.identical
    assert result.cycles == 200
    assert result.packets > 400
    assert not result.differences


def test_another_command_is_found(tmp_path: Path) -> None:
    record_twin(tmp_path / "a.mcap", cycles=50)
    flight = read_flight(tmp_path / "a.mcap")
    flight["command"].flags.writeable = True
    flight["command"][20, 1] += 1e-12
    result = replay(flight, lambda port, _, recorder: fly(port, recorder, 50))
    assert not result.identical
    assert result.agrees(1e-9)
    assert result.differences["command"].first == 20
    assert list(result.differences) == ["command"]


def test_a_flight_that_ends_early_is_compared_that_far(tmp_path: Path) -> None:
    record_twin(tmp_path / "a.mcap", cycles=50)
    result = replay(read_flight(tmp_path / "a.mcap"), lambda port, _, recorder: fly(port, recorder, 60))
    assert result.cycles == 50
    assert result.diverged or result.ended


def test_inputs_come_back_cycle_by_cycle(tmp_path: Path) -> None:
    record_twin(tmp_path / "a.mcap", cycles=3)
    flight = read_flight(tmp_path / "a.mcap")
    for name, values in (("request", [0, 8, 8]), ("target_stamp", [-np.inf, 1.0, 2.0])):
        flight.columns = {**flight.columns, name: np.array(values)}
    source, inputs = ReplayInputs(flight), Inputs(3)
    seen = []
    sample = partial(source.sample, inputs, np.inf)
    for _ in range(3):
        sample()
        seen.append((inputs.request, inputs.target_stamp))
    assert seen == [(0, -np.inf), (8, 1.0), (8, 2.0)]
    with pytest.raises(ReplayEndedError):
        sample()
