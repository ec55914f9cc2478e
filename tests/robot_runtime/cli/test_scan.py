"""robot-scan from its arguments to its exit code."""

from __future__ import annotations

from robot_runtime.cli.scan import main
from sim.twin.twin import Twin
from tests.robot_runtime.cli.conftest import Desk

KOCH = [(1, "XL430-W250"), (2, "XL430-W250"), *((i, "XL330-M288") for i in (3, 4, 5, 6))]


def test_a_sound_arm_is_fine(desk: Desk) -> None:
    desk.put(Twin.load("koch-v1.1"))
    ended = desk.run(main)
    assert ended.code == 0
    assert "All is set well for control." in ended.out
    rows = [line.split() for line in ended.out.splitlines() if "XL" in line]
    assert [(int(row[0]), row[1]) for row in rows] == KOCH
    assert rows[0][3:] == ["1000000", "position", "off", "11.1", "25", "none"]
    assert "servos 1-6: bus watchdog off" in ended.out


def test_json_is_one_object_with_everything(desk: Desk) -> None:
    desk.put(Twin.load("koch-v1.1"))
    ended = desk.run(main, "--json")
    data = ended.json
    assert [(s["id"], s["model"]) for s in data["servos"]] == KOCH
    first = data["servos"][0]
    assert (first["baudrate"], first["mode"], first["torque"]) == (1_000_000, "position", False)
    assert (first["voltage"], first["temperature"], first["errors"]) == (11.1, 25.0, [])
    assert first["registers"]["return_delay_time"] == 0
    assert (data["exit_code"], ended.code, ended.err) == (0, 0, "")
    assert {f["severity"] for f in data["findings"]} == {"note"}


def test_factory_settings_are_found_wrong_with_what_to_do(desk: Desk) -> None:
    twin = desk.put(Twin.load("xl330-pendulum", factory=True))
    assert twin.line.baudrate == 57_600
    ended = desk.run(main)
    assert ended.code == 1
    assert "return delay 500 µs (250, the factory's)" in ended.out
    assert "slow: 57600 bit/s" in ended.out
    assert "-> 'robot-setup arm' sets this." in ended.out


def test_servos_fresh_from_the_box_all_at_id_1(desk: Desk) -> None:
    desk.put(Twin.load("koch-v1.1", factory=True))
    ended = desk.run(main)
    assert ended.code == 4
    assert "SEVERAL SERVOS" in ended.out
    assert "robot-setup servo --id N" in ended.out


def test_errors_and_heat_are_shown(desk: Desk) -> None:
    twin = desk.put(Twin.load("koch-v1.1"))
    twin.inject("overload:servo=3")
    twin.advance(0.1)
    ended = desk.run(main, "--json")
    assert ended.code == 1
    assert ended.json["servos"][2]["errors"] == ["overload"]
    assert ended.json["findings"][0]["what"] == "hardware error: overload"
    assert ended.json["findings"][0]["servos"] == [3]


def test_one_baud_rate_only(desk: Desk) -> None:
    desk.put(Twin.load("koch-v1.1"))
    assert desk.run(main, "--baud", "1_000_000", "--json").json["baudrates"] == [1_000_000]
    nothing = desk.run(main, "--baud", "57600")
    assert nothing.code == 4
    assert "No servo answers on lockstep:koch-v1.1 at 57600 bit/s." in nothing.out
    assert desk.run(main, "--baud", "fast").code == 2
