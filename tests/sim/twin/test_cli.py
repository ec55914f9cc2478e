"""The command `robot-twin`."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial

from sim.twin.arm_file import SHIPPED
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
        (["--arm", "xl330-pendulum", "--plug", "pendulum@soon"], "give JOINT@SECONDS"),
        (["--arm", "xl330-pendulum", "--plug", "pendulum@-1"], "give JOINT@SECONDS"),
        (["--arm", "xl330-pendulum", "--plug", "knee@1"], "no joint 'knee' to plug in; there are pendulum"),
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


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("id = 1", 'id = "1"', "joint 'pendulum': servo: id must be a whole number, not '1'"),
        ("offset = 1.57", "offset = nan #", "joint 'pendulum': offset must be a finite number"),
        ('mjcf = "arm.xml"', 'mjcf = "arm.toml"', "not a model that MuJoCo can read"),
    ],
)
def test_an_arm_file_that_cannot_be_used_is_a_message(
    tmp_path: Path, old: str, new: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(SHIPPED / "xl330-pendulum", tmp_path / "mine")
    file = tmp_path / "mine" / "arm.toml"
    file.write_text(file.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    assert main(["--arm", str(file)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"robot-twin: {file.resolve()}: ")
    assert says in err


def test_a_link_in_use_is_refused_and_one_left_behind_is_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = tmp_path / "arm"
    with serving("--arm", "xl330-pendulum", "--link", str(link)) as (first, _):
        port = link.readlink()
        with serial.Serial(str(link), 1_000_000):
            pass  # a client's coming and going does not end the claim
        assert main(["--arm", "xl330-pendulum", "--link", str(link)]) == 1
        assert f"another twin, which serves {port}" in capsys.readouterr().err
        assert link.readlink() == port
        assert ping(str(link), 1, 1_000_000) == 1200
        first.kill()
        first.wait(PATIENCE)
    assert link.is_symlink(), "left behind"
    with serving("--arm", "xl330-pendulum", "--link", str(link)):
        assert ping(str(link), 1, 1_000_000) == 1200


def test_a_link_to_a_port_that_is_no_twins_is_replaced(tmp_path: Path) -> None:
    link = tmp_path / "arm"
    master, slave = pty.openpty()  # the name of a killed twin's port, given to somebody else
    link.symlink_to(os.ttyname(slave))
    with serving("--arm", "xl330-pendulum", "--link", str(link)):
        assert ping(str(link), 1, 1_000_000) == 1200
    os.close(slave)
    os.close(master)


def test_a_joint_without_plug_stays_unplugged_in_a_call_that_has_one() -> None:
    with serving("--arm", "koch-v1.1", "--plug", "gripper") as (_, port):
        assert ping(port, 6, 1_000_000) == 1200
        with serial.Serial(port, 1_000_000, timeout=0.3) as line:
            line.write(instruction_packet(1, 0x01))
            assert line.read(14) == b""


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(ValueError, match="nobody"):
        main(["--arm", "nobody", "--debug"])


def test_help_has_examples_exit_codes_and_faults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for part in ("examples:", "exit codes:", "stuck-shaft", "--link", "--plug", "the name of a joint", "for=0.2"):
        assert part in text


def test_no_arm_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "--arm" in capsys.readouterr().err


def test_a_link_whose_port_is_another_twins_by_now_is_replaced(tmp_path: Path) -> None:
    """The kernel gives the names of ports again, to twins as well."""
    link, others = tmp_path / "arm", tmp_path / "other"
    with serving("--arm", "xl330-pendulum", "--link", str(others)):
        link.symlink_to(others.readlink())
        with serving("--arm", "xl330-pendulum", "--link", str(link)):
            assert link.readlink() != others.readlink()
            assert ping(str(link), 1, 1_000_000) == ping(str(others), 1, 1_000_000) == 1200


def test_physics_that_break_are_said_once_and_leave_no_file(tmp_path: Path) -> None:
    """MuJoCo writes its warnings into a file in the working directory, wherever that is."""
    arm = tmp_path / "arm"
    shutil.copytree(SHIPPED / "koch-v1.1", arm)
    mjcf = (arm / "arm.xml").read_text(encoding="utf-8")
    (arm / "arm.xml").write_text(mjcf.replace('armature="0.00181" damping="0.00366"', 'armature="1e-9" damping="-5"'))
    command = [sys.executable, "-m", "sim.twin.cli", "--arm", str(arm), "--stop-at-eof"]
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, env=here, text=True, **pipes) as twin:  # type: ignore[call-overload]
        first = twin.stderr.readline()
        _, others = twin.communicate(timeout=30)
    assert first.startswith("robot-twin: ")
    assert "no arm that can be simulated; 'robot-setup check --arm ...'" in first
    assert "robot-twin: " not in others
    assert not list(tmp_path.glob("MUJOCO_LOG*"))
