"""The command `robot-twin`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial

from sim.twin.cli import main
from sim.twin.packets import instruction_packet

PATIENCE = 60.0  # s, only to not hang when something is broken


@contextmanager
def serving(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command and the first line that it printed."""
    command = [sys.executable, "-m", "sim.twin.cli", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def ping(port: str, servo_id: int, speed: int) -> int:
    """Model number of a servo."""
    with serial.Serial(port, speed, timeout=PATIENCE) as line:
        line.write(instruction_packet(servo_id, 0x01))
        return int.from_bytes(line.read(14)[9:11], "little")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_the_port_first_serves_and_stops_in_order(number: signal.Signals, tmp_path: Path) -> None:
    link = tmp_path / "arm"
    with serving("--arm", "xl330-pendulum", "--gap", "mild", "--link", str(link)) as (process, port):
        assert port == str(link)
        assert ping(port, 1, 1_000_000) == 1200
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out, err) == (0, "", "")
        assert not link.is_symlink()


def test_json_tells_the_port_and_the_servos() -> None:
    options = ("--arm", "koch-v1.1", "--json", "--no-wire-time", "--baud", "2000000", "--firmware", "1=44")
    with serving(*options) as (_, line):
        told = json.loads(line)
        assert told["arm"] == "koch-v1.1"
        assert told["baudrate"] == 2_000_000
        assert told["servos"][0] == {"joint": "shoulder_pan", "id": 1, "model": "XL430-W250", "firmware": 44}
        assert len(told["servos"]) == 6
        assert ping(told["port"], 1, 2_000_000) == 1060


def test_from_the_factory() -> None:
    with serving("--arm", "xl330-pendulum", "--factory", "--no-adapter") as (_, port):
        assert ping(port, 1, 57_600) == 1200


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--arm", "nobody"], "no arm 'nobody'"),
        (["--arm", "xl330-pendulum", "--baud", "123"], "cannot do 123 bit/s; it can do 9600"),
        (["--arm", "xl330-pendulum", "--gap", "huge"], "no gap 'huge'"),
        (["--arm", "xl330-pendulum", "--pose", "lotus"], "no pose 'lotus'"),
        (["--arm", "xl330-pendulum", "--fault", "stuck"], "unknown fault 'stuck'; known: packet-lost"),
        (["--arm", "xl330-pendulum", "--fault", "hot:servo=7"], "no servo '7'"),
        (["--arm", "xl330-pendulum", "--firmware", "1"], "give ID=VERSION"),
        (["--arm", "xl330-pendulum", "--firmware", "9=46"], "give ID=VERSION"),
    ],
)
def test_bad_input_is_a_message_and_exit_code_2(
    options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("robot-twin: ")
    assert says in err
    assert "Traceback" not in err


def test_a_link_that_cannot_be_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taken = tmp_path / "taken"
    taken.write_text("precious")
    assert main(["--arm", "xl330-pendulum", "--link", str(taken)]) == 1
    assert "choose another name" in capsys.readouterr().err


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(ValueError, match="nobody"):
        main(["--arm", "nobody", "--debug"])


def test_help_has_examples_exit_codes_and_faults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for part in ("examples:", "exit codes:", "stuck-shaft", "--link"):
        assert part in text


def test_no_arm_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "--arm" in capsys.readouterr().err
