"""The real port, on a pseudo-terminal: bytes, exclusiveness, and every way in which it can be gone."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import subprocess
import sys
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial

from robot_runtime.bus import (
    Bus,
    GroupRead,
    PortError,
    PortInUseError,
    PortNotFoundError,
    PortPermissionError,
    PortSettingError,
    PortStuckError,
    PortVanishedError,
    SerialPort,
    serial_port,
)

TIOCGEXCL = 0x80045440

LONG = 5.0  # s, only so that a broken test ends


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """A pseudo-terminal's master end, and the name of its other end."""
    master, slave = os.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    yield master, name
    os.close(slave)
    with contextlib.suppress(OSError):  # a test may have closed it already
        os.close(master)


def receive(port: SerialPort, count: int) -> bytes:
    buffer, got = memoryview(bytearray(count)), 0
    while got < count:
        step = port.read_into(buffer[got:], port.now() + LONG)
        assert step
        got += step
    return bytes(buffer)


def test_bytes_go_both_ways_unchanged(terminal: tuple[int, str]) -> None:
    master, name = terminal
    port = SerialPort(name, 1_000_000)
    everything = bytes(range(256))
    port.write(everything)
    assert os.read(master, 1000) == everything
    os.write(master, everything)
    assert receive(port, 256) == everything
    port.close()


def test_read_gives_up_at_the_deadline(terminal: tuple[int, str]) -> None:
    port = SerialPort(terminal[1], 1_000_000)
    deadline = port.now() + 0.01
    assert port.read_into(memoryview(bytearray(4)), deadline) == 0
    assert port.now() >= deadline
    assert port.read_into(memoryview(bytearray(4)), port.now() - 1) == 0
    port.close()


def test_discard_counts_what_it_throws_away(terminal: tuple[int, str]) -> None:
    port = SerialPort(terminal[1], 1_000_000)
    os.write(terminal[0], b"late")
    receive_one = memoryview(bytearray(1))
    assert port.read_into(receive_one, port.now() + LONG) == 1  # so that the rest has arrived too
    assert port.discard_input() == 3
    assert port.discard_input() == 0
    port.close()


def test_baud_rate_is_set_on_the_line(terminal: tuple[int, str]) -> None:
    port = SerialPort(terminal[1], 57_600)
    port.set_baudrate(4_000_000)
    assert port.baudrate == 4_000_000
    with pytest.raises(PortSettingError):
        port.set_baudrate(-1)
    port.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say at which rate a line is")
def test_an_adapter_that_falls_back_to_another_rate_is_refused(
    terminal: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = SerialPort(terminal[1], 57_600)
    for rate in (4_000_000, 2_345_678):
        port.set_baudrate(rate)
        assert serial_port.line_rate(port._fd) == rate
    monkeypatch.setattr(serial_port, "line_rate", lambda _: 9600)  # as Linux has an FT232R beyond 3 Mbit/s
    with pytest.raises(PortSettingError, match="does not do 4000000 bit/s, it took 9600 instead"):
        port.set_baudrate(4_000_000)
    port.close()
    with pytest.raises(PortSettingError, match="9600 instead"):
        SerialPort(terminal[1], 4_000_000)
    monkeypatch.undo()
    SerialPort(terminal[1], 4_000_000).close()  # the refused one let go of the port


@pytest.mark.skipif(sys.platform != "linux", reason="TIOCGEXCL")
def test_nobody_else_opens_the_port_meanwhile(terminal: tuple[int, str]) -> None:
    def exclusive() -> bool:
        flag = bytearray(4)
        fcntl.ioctl(probe, TIOCGEXCL, flag)
        return bool(struct.unpack("i", flag)[0])

    probe = os.open(terminal[1], os.O_RDWR | os.O_NOCTTY)
    port = SerialPort(terminal[1], 1_000_000)
    assert exclusive()  # which root may ignore, and nobody else
    port.close()
    assert not exclusive()
    os.close(probe)


def test_second_opener_is_told_who_has_it(terminal: tuple[int, str]) -> None:
    hold = f"s = serial.Serial({terminal[1]!r}, exclusive=True); print('up', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", f"import serial, sys; {hold}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"up\n"
    try:
        with pytest.raises(PortInUseError, match=f"process {holder.pid}") as caught:
            SerialPort(terminal[1], 1_000_000)
        assert isinstance(caught.value, BlockingIOError)
        assert terminal[1] in str(caught.value)
    finally:
        holder.communicate()


def test_port_that_does_not_exist() -> None:
    with pytest.raises(PortNotFoundError, match="plugged in"):
        SerialPort("/dev/ttyUSB99", 1_000_000)


def test_file_that_is_no_port(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("hello")
    with pytest.raises(PortSettingError, match="not a usable serial port"):
        SerialPort(str(file), 1_000_000)


@pytest.mark.parametrize(("group", "said"), [("dialout", "usermod -aG dialout"), ("root", "udev rule")])
def test_port_of_somebody_else(
    group: str, said: str, terminal: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise serial.SerialException(errno.EACCES, "could not open port")

    monkeypatch.setattr(serial, "Serial", refuse)  # root may open everything, so the refusal is made up
    monkeypatch.setattr(Path, "group", lambda _: group)
    with pytest.raises(PortPermissionError, match=said):
        SerialPort(terminal[1], 1_000_000)


def test_no_error_is_its_own_cause(terminal: tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever follows causes to their beginning would never come to an end."""
    port = SerialPort(terminal[1], 1_000_000)
    bus = Bus(port)

    def fails_with(kind: type[PortError], does: Callable[[], object]) -> None:
        with pytest.raises(kind) as caught:
            does()
        chain: list[BaseException | None] = [caught.value]
        while (last := chain[-1]) is not None:
            cause = last.__cause__ or last.__context__
            assert all(cause is not one for one in chain)
            chain.append(cause)

    monkeypatch.setattr(serial_port, "_WRITE_PATIENCE", 0.01)
    fails_with(PortStuckError, lambda: port.write(bytes(1 << 20)))  # nobody reads it
    monkeypatch.setattr(serial_port, "line_rate", lambda _: 9600)
    fails_with(PortSettingError, lambda: port.set_baudrate(4_000_000))
    os.close(terminal[0])
    fails_with(PortVanishedError, lambda: port.write(b"anybody?"))
    fails_with(PortVanishedError, lambda: bus.ping(1))
    fails_with(PortVanishedError, lambda: bus.read_group(GroupRead([1], 132, 4, fast=False)))
    fails_with(PortVanishedError, lambda: port.set_baudrate(57_600))


def test_port_that_vanishes_says_so_whatever_is_tried(terminal: tuple[int, str]) -> None:
    port = SerialPort(terminal[1], 1_000_000)
    os.close(terminal[0])
    with pytest.raises(PortVanishedError, match=r"vanished|hung up"):
        port.read_into(memoryview(bytearray(4)), port.now() + LONG)
    with pytest.raises(PortVanishedError):
        port.write(b"anybody?")
    with pytest.raises(PortVanishedError):
        port.discard_input()
    port.close()
    port.close()
    with pytest.raises(PortVanishedError):
        port.write(b"closed")


def test_a_port_without_room_is_waited_for_and_then_stuck_but_not_gone(terminal: tuple[int, str]) -> None:
    master, name = terminal
    port = SerialPort(name, 1_000_000)

    def write_on() -> None:
        for _ in range(1000):
            port.write(bytes(1000))

    with pytest.raises(PortStuckError, match="takes no more bytes"):
        write_on()
    waiting = b""
    with contextlib.suppress(BlockingIOError):
        os.set_blocking(master, False)
        while True:
            waiting += os.read(master, 100_000)
    assert waiting
    port.write(b"again")
    assert os.read(master, 1000) == b"again"
    port.close()


def test_whoever_is_woken_for_nothing_goes_on_waiting(
    terminal: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    master, name = terminal
    port = SerialPort(name, 1_000_000)
    read, woken = os.readv, iter([True, False])

    def readv(descriptor: int, buffers: list[memoryview]) -> int:
        if next(woken):
            raise BlockingIOError(errno.EAGAIN, "woken for nothing")
        return read(descriptor, buffers)

    monkeypatch.setattr("robot_runtime.bus.serial_port.os.readv", readv)
    os.write(master, b"x")
    assert receive(port, 1) == b"x"
    port.close()


def test_waiting_watches_the_clock_towards_the_end(terminal: tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    port = SerialPort(terminal[1], 1_000_000)
    clock, slept = [100.0], []

    def now() -> float:
        clock[0] += 10e-6
        return clock[0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr("robot_runtime.bus.serial_port.time.monotonic", now)
    monkeypatch.setattr("robot_runtime.bus.serial_port.time.sleep", sleep)
    port.spin = 0.001
    due = clock[0] + 0.005
    port.sleep_until(due)
    assert slept == [pytest.approx(0.004, abs=50e-6)]
    assert due <= clock[0] < due + 50e-6
    port.sleep_until(clock[0] + 0.0005)  # shorter than the spin
    assert len(slept) == 1
    port.sleep_until(clock[0] - 1)
    assert clock[0] < due + 0.001
    monkeypatch.undo()
    port.close()
