"""robot-setup arm: servos fresh from the box become an arm, one by one, with somebody there or without."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from robot_runtime.arm import Arm
from robot_runtime.arm.errors import ServoSettingError
from robot_runtime.bus.scan import known_baudrates
from robot_runtime.cli.setup import main
from robot_runtime.spec import load_arm
from sim.twin.lockstep import LockstepPort
from sim.twin.twin import Twin
from tests.robot_runtime.cli.conftest import Desk

ARM = ("arm", "--arm", "koch-v1.1")
NAMES = load_arm("koch-v1.1").joint_names


@pytest.fixture
def box(desk: Desk) -> Twin:
    """A Koch's servos as shipped; none is connected yet."""
    twin = desk.put(Twin.load("koch-v1.1", factory=True))
    for servo in twin.servos:
        twin.cut_power(servo)
    return twin


def connect(twin: Twin, index: int, answer: str = "") -> Callable[[], str]:
    """Somebody connects a servo and presses Enter."""

    def act() -> str:
        twin.restore_power(twin.servos[index])
        twin.advance(twin.time + 1.0)
        return answer

    return act


def places(twin: Twin) -> list[tuple[int, int]]:
    return [(servo.get("id"), servo.baudrate) for servo in twin.servos]


def test_guided_from_the_box_to_an_arm_that_opens(desk: Desk, box: Twin) -> None:
    steps: list[str | Callable[[], str]] = []
    for i in range(6):
        steps += [connect(box, i), "y"]
    desk.somebody(*steps, "y")
    ended = desk.run(main, *ARM)
    assert ended.code == 0, ended.err
    assert places(box) == [(i, 1_000_000) for i in range(1, 7)]
    for name in NAMES:
        assert f"Connect the servo of joint '{name}'" in ended.err
    assert "Written and read back." in ended.out
    Arm.open(load_arm("koch-v1.1"), LockstepPort(box)).prepare()
    again = desk.run(main, *ARM)
    assert again.code == 0
    assert again.out.splitlines() == [
        f"Arm file: {load_arm('koch-v1.1').path}",
        "Nothing to change: 6 servos are set as arm.toml and control want them.",
    ]


def test_an_arm_that_leans_on_its_limit_can_be_switched_on_after_set_up(desk: Desk) -> None:
    """At rest the Koch's upper arm sags a little beyond its limit; the servo must take that place as its first goal."""
    twin = desk.put(Twin.load("koch-v1.1"))
    assert desk.run(main, *ARM, "--yes").code == 0
    arm = Arm.open(load_arm("koch-v1.1"), LockstepPort(twin))
    arm.prepare()
    arm.torque_on()
    assert arm.state.q[1] > arm.spec.joints[1].limits.upper
    arm.torque_off()


def test_a_wrong_servo_is_told_and_waited_for(desk: Desk, box: Twin) -> None:
    """An XL330 where an XL430 belongs: said, and asked for again."""

    def unplug() -> str:
        box.cut_power(box.servos[2])
        return connect(box, 0)()

    desk.somebody(connect(box, 2), unplug, "y", connect(box, 1), "n")
    ended = desk.run(main, *ARM)
    assert ended.code == 5
    assert "joint 'shoulder_pan' wants a XL430-W250; what is connected (ID 1) is XL330-M288" in ended.err
    assert places(box)[:2] == [(1, 1_000_000), (1, 57_600)]


def test_two_new_servos_at_once_are_told_and_waited_for(desk: Desk, box: Twin) -> None:
    def both() -> str:
        connect(box, 0)()
        return connect(box, 1)()

    def one_less() -> str:
        box.cut_power(box.servos[1])
        return ""

    desk.somebody(both, one_less, "n")
    ended = desk.run(main, *ARM)
    assert ended.code == 5
    assert "several servos share ID 1 at 57600 bit/s; connect one at a time" in ended.err
    assert places(box)[:2] == [(1, 57_600), (1, 57_600)]


def test_a_script_does_one_joint_after_the_other(desk: Desk, box: Twin) -> None:
    refused = desk.run(main, *ARM, "--yes")
    assert refused.code == 5
    assert "--only JOINT" in refused.err
    for i, name in enumerate(NAMES):
        connect(box, i)()
        result = desk.run(main, *ARM, "--only", name, "--yes", "--json")
        assert (result.code, result.json["assigned"]) == (0, [name])
    assert places(box) == [(i, 1_000_000) for i in range(1, 7)]
    assert desk.run(main, *ARM, "--dry-run").code == 0


def test_dry_run_shows_and_writes_nothing(desk: Desk) -> None:
    twin = desk.put(Twin.load("koch-v1.1"))
    ended = desk.run(main, *ARM, "--dry-run", "--json")
    assert ended.code == 1
    registers = {(c["servo"], c["register"]): (c["before"], c["after"]) for c in ended.json["changes"]}
    assert registers[3, "current_limit"] == (1750, 279)
    assert registers[1, "temperature_limit"] == (72, 65)
    assert ended.json["written"] is False
    assert twin.servos[2].get("current_limit") == 1750
    assert list(desk.folder.iterdir()) == []


def test_the_difference_is_shown_before_somebody_is_asked(desk: Desk) -> None:
    twin = desk.put(Twin.load("koch-v1.1"))
    desk.somebody("n")
    ended = desk.run(main, *ARM)
    assert ended.code == 5
    row = next(line for line in ended.out.splitlines() if "current limit" in line)
    assert row.split()[:6] == ["3", "elbow_flex", "current", "limit", "1750", "279"]
    assert twin.servos[2].get("current_limit") == 1750


def test_settings_come_with_an_undo_file_that_brings_everything_back(desk: Desk) -> None:
    twin = desk.put(Twin.load("koch-v1.1"))
    names = ("current_limit", "velocity_limit", "temperature_limit", "min_position_limit", "max_position_limit")
    before = [twin.servos[3].get(name) for name in names]
    result = desk.run(main, *ARM, "--yes", "--json").json
    assert [twin.servos[3].get(name) for name in names] == [279, 291, 60, 712, 3384]
    stored = json.loads((desk.folder / result["undo_file"]).read_text())
    assert stored["command"] == "robot-setup arm"
    assert len(stored["changes"]) == len(result["changes"])
    assert desk.run(main, "undo", result["undo_file"], "--yes").code == 0
    assert [twin.servos[3].get(name) for name in names] == before


def test_torque_forbids(desk: Desk) -> None:
    twin = desk.put(Twin.load("koch-v1.1"))
    twin.servos[3].write(twin.servos[3].table.registers["torque_enable"].address, b"\x01")
    ended = desk.run(main, *ARM, "--yes")
    assert ended.code == 5
    assert "torque is on in servo 4" in ended.err
    assert twin.servos[0].get("temperature_limit") == 72


def test_settings_only_of_an_incomplete_arm(desk: Desk) -> None:
    twin = desk.put(Twin.load("koch-v1.1"))
    twin.cut_power(twin.servos[4])
    ended = desk.run(main, *ARM, "--settings-only", "--yes")
    assert ended.code == 4
    assert "wrist_roll (servo 5)" in ended.err


@pytest.mark.parametrize("arguments", [("--arm", "no-such-arm"), ("--arm", "koch-v1.1", "--only", "knee")])
def test_names_that_are_not_there(desk: Desk, arguments: tuple[str, ...]) -> None:
    assert desk.run(main, "arm", *arguments).code == 2


def test_no_after_an_id_was_given_tells_of_that_id(desk: Desk, box: Twin) -> None:
    desk.somebody(connect(box, 0), "y", connect(box, 1), "n")
    ended = desk.run(main, *ARM, "--undo-file", "u.json")
    assert ended.code == 5
    assert "Written until then: servo 1 baud_rate" in ended.err
    assert "To take it back: robot-setup undo u.json" in ended.err
    assert "othing was written" not in ended.err


def test_a_servo_that_is_nowhere_was_looked_for_everywhere(desk: Desk, box: Twin) -> None:
    ended = desk.run(main, *ARM, "--only", NAMES[0], "--yes")
    assert ended.code == 4
    for rate in known_baudrates():
        assert str(rate) in ended.err


# -- two servos at one joint -------------------------------------------------------------------------------------------

WIDOWX = ("arm", "--arm", "widowx-250s")
SECOND = 7
"""Place of the shoulder's second servo, ID 3, in the twin."""


def test_what_the_makers_software_left_is_taken_back_and_can_be_restored(desk: Desk) -> None:
    """There the second servo obeys the first, reversed: what is written to the first would be written to both."""
    spec, twin = load_arm("widowx-250s"), desk.put(Twin.load("widowx-250s"))
    left = {"secondary_id": 2, "drive_mode": 1, "homing_offset": -7, "min_position_limit": 800}
    for second, obeyed in ((SECOND, 2), (SECOND + 1, 4)):
        twin.servos[second].set_eeprom(**{**left, "secondary_id": obeyed})
    with pytest.raises(ServoSettingError, match=r"joint 'shoulder' \(servo 3\)"):
        Arm.open(spec, LockstepPort(twin))
    result = desk.run(main, *WIDOWX, "--yes", "--json").json
    assert [(c["servo"], c["register"]) for c in result["changes"][:2]] == [(3, "secondary_id"), (5, "secondary_id")]
    Arm.open(spec, LockstepPort(twin)).prepare()
    assert desk.run(main, *WIDOWX, "--dry-run").code == 0
    assert desk.run(main, "undo", result["undo_file"], "--yes").code == 0
    assert {name: twin.servos[SECOND].get(name) for name in left} == left


def test_guided_through_both_servos_of_a_joint(desk: Desk) -> None:
    twin = desk.put(Twin.load("widowx-250s", factory=True))
    for servo in twin.servos:
        twin.cut_power(servo)
    steps: list[str | Callable[[], str]] = []
    for i in range(9):
        steps += [connect(twin, i), "y"]
    desk.somebody(*steps, "y")
    ended = desk.run(main, *WIDOWX)
    assert ended.code == 0, ended.err
    assert [place[0] for place in places(twin)] == [1, 2, 4, 6, 7, 8, 9, 3, 5]
    assert "Connect the servo of joint 'shoulder/2' (XM430-W350)" in " ".join(ended.err.split())
    Arm.open(load_arm("widowx-250s"), LockstepPort(twin)).prepare()


def test_a_script_takes_both_servos_of_a_joint_one_after_the_other(desk: Desk) -> None:
    twin = desk.put(Twin.load("widowx-250s", factory=True))
    for servo in twin.servos:
        twin.cut_power(servo)
    for index, name in ((1, "shoulder"), (SECOND, "shoulder/2")):
        connect(twin, index)()
        result = desk.run(main, *WIDOWX, "--only", name, "--yes", "--json")
        assert (result.code, result.json["assigned"]) == (0, [name])
        twin.cut_power(twin.servos[index])
    assert (twin.servos[1].get("id"), twin.servos[SECOND].get("id")) == (2, 3)
    connect(twin, SECOND)()
    assert desk.run(main, *WIDOWX, "--only", "shoulder/2", "--dry-run").code == 0
