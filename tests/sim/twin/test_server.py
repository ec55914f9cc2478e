"""The twin behind its pseudo-terminal."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import serial

from sim.twin.adapter import AdapterTiming
from sim.twin.faults import FaultSpecError
from sim.twin.packets import instruction_packet, status_packet
from sim.twin.server import TwinServer
from sim.twin.twin import Twin
from tests.sim.twin.bench import bench_twin, still, sync_read_packet, write_packet

PATIENCE = 10.0  # s, only to not hang when something is broken
PING = instruction_packet(11, 0x01)
TIOCGEXCL = 0x80045440


def pong(twin: Twin) -> bytes:
    return status_packet(11, 0, (1020).to_bytes(2, "little") + bytes([twin.servos[0].firmware]))


def exchange(port: serial.Serial, packet: bytes, size: int) -> bytes:
    port.timeout = PATIENCE
    port.write(packet)
    return bytes(port.read(size))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("wire_time", [True, False])
def test_a_client_gets_its_replies(wire_time: bool) -> None:
    with TwinServer(bench_twin(wire_time=wire_time)) as server, serial.Serial(server.port, 1_000_000) as port:
        for _ in range(20):
            assert exchange(port, PING, 14) == pong(server.twin)
        assert len(exchange(port, sync_read_packet(126, 10, [11, 12, 13]), 63)) == 63


def test_a_client_behind_an_adapter_gets_its_replies() -> None:
    twin = bench_twin(adapter=AdapterTiming(latency_timer=0.002, frame=0.000125))
    with TwinServer(twin) as server, serial.Serial(server.port, 1_000_000) as port:
        assert exchange(port, PING, 14) == pong(twin)


def test_a_client_that_sets_no_speed_has_that_of_the_servos() -> None:
    with TwinServer(bench_twin()) as server:
        fd = os.open(server.port, os.O_RDWR | os.O_NOCTTY)
        os.write(fd, PING)
        assert select.select([fd], [], [], PATIENCE)[0]
        os.close(fd)


def test_the_speed_of_the_client_counts() -> None:
    with TwinServer(bench_twin()) as server, serial.Serial(server.port, 57_600) as port:
        port.timeout = 0.1
        port.write(PING)
        assert port.read(14) == b""
        assert server.twin.line.baudrate == 57_600
        port.baudrate = 1_000_000
        assert exchange(port, PING, 14) == pong(server.twin)


@pytest.mark.parametrize("speed", [2_000_000, 4_500_000])
def test_fast_and_unusual_speeds(speed: int) -> None:
    twin = bench_twin()
    for servo in twin.servos:
        servo.set_eeprom(baud_rate=servo.data.baudrates[speed])
    with TwinServer(twin) as server, serial.Serial(server.port, speed) as port:
        assert exchange(port, PING, 14) == pong(twin)


def test_clients_come_and_go() -> None:
    with TwinServer(bench_twin(wire_time=False)) as server:
        for _ in range(3):
            with serial.Serial(server.port, 1_000_000) as port:
                assert exchange(port, PING, 14) == pong(server.twin)
                port.write(PING)  # and leave without reading


def test_what_one_client_left_does_not_meet_the_next() -> None:
    with TwinServer(bench_twin()) as server:
        first = os.open(server.port, os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(first, termios.TIOCEXCL)
        os.write(first, PING)
        assert select.select([first], [], [], PATIENCE)[0]
        os.close(first)

        def exclusive() -> bool:
            flag = bytearray(4)
            fcntl.ioctl(probe, TIOCGEXCL, flag)
            return bool(struct.unpack("i", flag)[0])

        probe = os.dup(server._slave)
        wait_for(lambda: not exclusive())
        assert select.select([probe], [], [], 0)[0] == []
        os.close(probe)


def test_a_client_that_does_not_read_stops_nothing() -> None:
    with TwinServer(bench_twin(wire_time=False)) as server, serial.Serial(server.port, 1_000_000) as port:
        for _ in range(400):
            port.write(sync_read_packet(126, 10, [11, 12, 13]))
        port.write(write_packet(254, 65, b"\1"))
        wait_for(lambda: server.twin.servos[0].get("led") == 1)
        port.reset_input_buffer()
        port.timeout = 0.3
        while port.read(4096):
            pass
        assert exchange(port, PING, 14) == pong(server.twin)


def test_the_physics_keeps_up_with_the_clock() -> None:
    with TwinServer(bench_twin()) as server:
        wait_for(lambda: server.twin.time > 0.3)
        assert still(server.twin).steps == pytest.approx(server.twin.time * 1000, abs=30)


def test_a_link_gives_the_port_a_stable_name(tmp_path: Path) -> None:
    link = tmp_path / "arm"
    with TwinServer(bench_twin(), link=link) as server, serial.Serial(str(link), 1_000_000) as port:
        assert link.resolve() == Path(server.port)
        assert exchange(port, PING, 14) == pong(server.twin)
    assert not link.is_symlink()


def test_an_old_link_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    link = tmp_path / "arm"
    link.symlink_to(tmp_path / "gone")
    with TwinServer(bench_twin(), link=link) as server:
        assert str(link.readlink()) == server.port
    link.write_text("precious")
    with pytest.raises(FileExistsError, match="choose another name"):
        TwinServer(bench_twin(), link=link)
    assert link.read_text() == "precious"


def test_unplugging_takes_the_port_away_and_plugging_in_brings_a_new_one(tmp_path: Path) -> None:
    link, ports = tmp_path / "arm", list[str]()
    twin = bench_twin(faults=["unplugged:at=0.2,for=0.2"])
    with TwinServer(twin, link=link, on_port=ports.append):
        wait_for(lambda: len(ports) == 1)
        fd = os.open(ports[0], os.O_RDWR | os.O_NOCTTY)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        assert poll.poll(PATIENCE * 1000)[0][1] & select.POLLHUP
        with pytest.raises(OSError, match="Input/output") as caught:
            os.write(fd, PING)
        assert caught.value.errno == errno.EIO
        os.close(fd)
        wait_for(lambda: len(ports) == 2)
        with serial.Serial(str(link), 1_000_000) as port:
            assert exchange(port, PING, 14) == pong(twin)


def test_faults_can_be_injected_while_it_serves() -> None:
    with TwinServer(bench_twin()) as server, serial.Serial(server.port, 1_000_000) as port:
        assert exchange(port, PING, 14) == pong(server.twin)
        server.inject("servo-dead:servo=11")
        port.timeout = 0.1
        port.write(PING)
        assert port.read(14) == b""
        with pytest.raises(FaultSpecError, match="unknown fault"):
            server.inject("gremlins")


def test_stopping_ends_it_and_the_port() -> None:
    server = TwinServer(bench_twin())
    with server:
        port = server.port
        assert Path(port).exists()
        server.stop()
        server.stop()
    assert server.port == ""
    server.stop()
