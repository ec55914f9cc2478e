"""The commands as they are started from a shell, on a twin behind a pseudo-terminal. Nothing here depends on time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from robot_runtime.bus import SerialPort
from robot_runtime.cli.scan import main as robot_scan
from robot_runtime.cli.setup import main as robot_setup
from sim.twin.server import TwinServer
from sim.twin.twin import Twin


@pytest.fixture
def server() -> Iterator[TwinServer]:
    with TwinServer(Twin.load("koch-v1.1", wire_time=False)) as server:
        yield server


def test_scan_and_set_up_over_a_serial_port(
    server: TwinServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert robot_scan(["--port", server.port, "--baud", "1000000"]) in (0, 1)  # 1: a busy computer lost a reply
    assert capsys.readouterr().out.count("XL330-M288") == 4
    arm = ["arm", "--arm", "koch-v1.1", "--settings-only", "--port", server.port]
    assert robot_setup([*arm, "--yes"]) == 0
    assert "Written and read back." in capsys.readouterr().out
    assert robot_setup(arm) == 0
    assert "Nothing to change: 6 servos" in capsys.readouterr().out


def test_a_port_in_use_is_said(server: TwinServer, capsys: pytest.CaptureFixture[str]) -> None:
    other = SerialPort(server.port, 1_000_000)
    assert robot_scan(["--port", server.port]) == 3
    other.close()
    assert "in use" in capsys.readouterr().err


def test_a_port_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert robot_scan(["--port", "/dev/no-such-port"]) == 3
    assert "/dev/no-such-port: no such port" in capsys.readouterr().err
