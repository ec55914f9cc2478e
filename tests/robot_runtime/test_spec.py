"""arm.toml: what is accepted, and that every mistake names file, line and key."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from robot_runtime.spec import ArmNotFoundError, ArmSpecError, load_arm, shipped_arms
from robot_runtime.toml_table import TomlTable

GOOD = """\
[arm]
name = "one"
description = "one joint"
mjcf = "arm.xml"
tip = "tip"

[bus]
baudrate = 1_000_000
watchdog = 0.1

[supply]
voltage = [11.0, 13.0]

[poses]
home = { swing = 0.2 }
rest = { swing = 0.0 }

[[joint]]
name = "swing"
servo = { id = 7, model = "XM430-W350" }
mode = "current"
sign = -1
offset = 0.5   # rad
gear = 2.0
limits = { position = [-0.6, 0.8], velocity = 3, acceleration = 30, jerk = 600, torque = 2, temperature = 70 }
"""


def write(tmp_path: Path, text: str) -> Path:
    (tmp_path / "arm.xml").write_text("<mujoco/>")
    file = tmp_path / "arm.toml"
    file.write_text(text)
    return file


def test_good_file(tmp_path: Path) -> None:
    spec = load_arm(write(tmp_path, GOOD))
    (joint,) = spec.joints
    assert (spec.name, spec.joint_names, spec.servo_ids) == ("one", ("swing",), (7,))
    assert spec.bus.watchdog_ticks == 5
    assert spec.bus.return_delay == 0.0
    assert spec.poses["home"] == (0.2,)
    assert joint.limits.torque == 2.0


def test_angle_and_ticks_are_each_others_inverse_with_sign_gear_and_offset(tmp_path: Path) -> None:
    (joint,) = load_arm(write(tmp_path, GOOD)).joints
    assert joint.angle(2048) == 0.5
    assert joint.angle(2048 + 1024) == pytest.approx(0.5 - math.pi / 4)  # sign -1, two servo turns a joint turn
    for ticks in (100, 2048, 4000):
        assert joint.ticks(joint.angle(ticks)) == ticks
    assert joint.torque_per_ampere == pytest.approx(-2.0 * joint.servo.motor.torque_constant)


def test_digest_changes_with_either_file(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    first = load_arm(file).digest
    (tmp_path / "arm.xml").write_text("<mujoco model='x'/>")
    second = load_arm(file).digest
    file.write_text(GOOD + "# a note\n")
    assert len({first, second, load_arm(file).digest}) == 3


@pytest.mark.parametrize("name", shipped_arms())
def test_shipped_arms_load(name: str) -> None:
    assert load_arm(name).name == name


def test_unknown_arm_lists_the_known() -> None:
    with pytest.raises(ArmNotFoundError, match=r"koch-v1\.1"):
        load_arm("no-such-arm")


MISTAKES = [
    ("baudrate = 1_000_000", 'baudrate = "fast"', 8, "bus.baudrate", "whole number"),
    ("baudrate = 1_000_000", "baudrate = 123456", 20, "joint.1.servo.model", "cannot do 123456"),
    ("watchdog = 0.1", "", 7, "bus.watchdog", "missing"),
    ("watchdog = 0.1", "watchdog = 9.0", 9, "bus.watchdog", "0.02 to 2.54"),
    ("watchdog = 0.1", "watchdog = 0.1\nwatchdgo = 1", 10, "bus.watchdgo", "unknown key"),
    ("voltage = [11.0, 13.0]", "voltage = [13.0, 11.0]", 12, "supply.voltage", "not below"),
    ("home = { swing = 0.2 }", "home = { swing = 2.0 }", 15, "poses.home.swing", "outside the joint's limits"),
    ("rest = { swing = 0.0 }", "", 14, "poses.rest", "missing"),
    ('model = "XM430-W350"', 'model = "XM430"', 20, "joint.1.servo.model", "known: "),
    ('mode = "current"', 'mode = "torque"', 21, "joint.1.mode", "it has current"),
    ("sign = -1", "sign = 0", 22, "joint.1.sign", "1 or -1"),
    ("sign = -1", "sign = true", 22, "joint.1.sign", "whole number"),
    ("offset = 0.5", "offset = nan", 23, "joint.1.offset", "finite"),
    ("torque = 2", "torque = -2", 25, "joint.1.limits.torque", "above 0"),
    ("[-0.6, 0.8]", "[-0.6, 8.0]", 25, "joint.1.limits", "the encoder wraps"),
    ("[-0.6, 0.8]", "[-34, 46]", 25, "joint.1.limits", "80 rad wide, 25 turns: are these degrees?"),
    ("[11.0, 13.0]", "[4.0, 5.3]", 12, "supply.voltage", "XM430-W350, which is for 10 to 14.8 V"),
    ("torque = 2", "torque = 1e9", 25, "joint.1.limits.torque", "above 0, at most"),
    ("velocity = 3", "velocity = 1e300", 25, "joint.1.limits.velocity", "above 0, at most"),
    ("acceleration = 30", "acceleration = 300", 25, "joint.1.limits.acceleration", "at most 246"),
    ("temperature = 70", "temperature = 700", 25, "joint.1.limits.temperature", "above 0, at most 100"),
    ("[11.0, 13.0]", "[-5.0, 5.0]", 12, "supply.voltage", "within 1 to 60"),
    ("gear = 2.0", "homing_offset = 99999999999", 24, "joint.1.homing_offset", "expected -"),
    ("gear = 2.0", "gains = { torque_enable = 1 }", 24, "joint.1.gains.torque_enable", "not a gain of"),
    ("gear = 2.0", "gear = 1" + "0" * 400, 24, "joint.1.gear", "above 0"),
    ("temperature = 70", "temprature = 70", 25, "joint.1.limits.temperature", "missing"),
    ("gear = 2.0", "gains = { present_position = 1 }", 24, "joint.1.gains.present_position", "not a gain of"),
    ('mjcf = "arm.xml"', 'mjcf = "arm.urdf"', 4, "arm.mjcf", "no file"),
    ("[arm]", "[arms]", 1, "arm", "missing"),
]


@pytest.mark.parametrize(("old", "new", "line", "key", "problem"), MISTAKES)
def test_mistakes_name_line_and_key(tmp_path: Path, old: str, new: str, line: int, key: str, problem: str) -> None:
    assert old in GOOD
    file = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ArmSpecError) as caught:
        load_arm(file)
    assert str(caught.value).startswith(f"{file}:{line}: {key}: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('mass="0.15"', 'mass="nan"', "arm.xml:32: body 'pendulum': <geom> mass: .*found 'nan'"),
        ('pos="0 0.03 0.1"', 'pos="0 NaN 0.1"', "arm.xml:26: body 'post': <inertial> pos: .*found '0 NaN 0.1'"),
        ('armature="', 'armature="inf" x="', "arm.xml:.*: <joint> armature: .*found 'inf'"),
    ],
)
def test_what_an_mjcf_says_of_a_body_are_numbers(tmp_path: Path, old: str, new: str, told: str) -> None:
    for file in load_arm("xl330-pendulum").path.parent.glob("arm.*"):
        (tmp_path / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    text = (tmp_path / "arm.xml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "arm.xml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ArmSpecError, match=told):
        load_arm(tmp_path)


def test_a_range_in_which_power_up_may_be_a_turn_off_must_be_confirmed(tmp_path: Path) -> None:
    wide = GOOD.replace('mode = "current"', 'mode = "extended_position"').replace("[-0.6, 0.8]", "[-1.6, 1.6]")
    file = write(tmp_path, wide)  # of a joint of gear 2, with a turn of pi
    with pytest.raises(
        ArmSpecError, match=r"arm\.toml:25: joint\.1\.limits: .* a turn has 4096: .*turn_is_known = true"
    ):
        load_arm(file)
    assert load_arm(file, zeroed=False).joints[0].limits.upper == 1.6
    assert load_arm(write(tmp_path, wide.replace("-1.6", "-1.5"))).joints[0].turn_is_known is False
    assert (
        load_arm(write(tmp_path, wide.replace("sign = -1", "sign = -1\nturn_is_known = true"))).joints[0].turn_is_known
    )


def test_an_mjcf_that_is_no_xml_is_for_mujoco_to_judge(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    for text in ("", "<mujoco", "<?xml version='1.0' encoding='nobodys'?><mujoco/>", "<body pos='x nan'"):
        (tmp_path / "arm.xml").write_text(text)
        assert load_arm(file).name == "one"


def test_two_joints_cannot_share_a_servo_or_a_name(tmp_path: Path) -> None:
    again = GOOD[GOOD.index("[[joint]]") :]
    with pytest.raises(ArmSpecError, match=r":28: joint\.2\.name: 'swing' is the name"):
        load_arm(write(tmp_path, GOOD + "\n" + again))
    with pytest.raises(ArmSpecError, match="already moves joint 'swing'"):
        load_arm(write(tmp_path, GOOD + "\n" + again.replace('"swing"', '"other"')))


def test_not_toml_is_said_with_the_line(tmp_path: Path) -> None:
    with pytest.raises(ArmSpecError, match="line 2"):
        load_arm(write(tmp_path, "[arm]\nname = \n"))


def test_joint_must_be_a_table(tmp_path: Path) -> None:
    text = "joint = [1]\n" + GOOD[: GOOD.index("[[joint]]")]
    with pytest.raises(ArmSpecError, match=r":1: joint: expected tables"):
        load_arm(write(tmp_path, text))


def test_not_utf8_is_said(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    file.write_bytes(b"\xff\xfe" + GOOD.encode())
    with pytest.raises(ArmSpecError, match="not valid TOML"):
        load_arm(file)


def test_a_byte_order_mark_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    file.write_text(GOOD, encoding="utf-8-sig")
    with pytest.raises(ArmSpecError, match=r"arm.toml: begins with a byte order mark; save it as UTF-8 without one"):
        load_arm(file)


def test_a_urdf_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    (tmp_path / "arm.xml").write_text("<?xml version='1.0'?><robot name='arm'><link name='base'/></robot>")
    with pytest.raises(ArmSpecError, match=r"arm.xml: a URDF, not an MJCF; docs/arms.md says how"):
        load_arm(file)


def test_the_documented_keys_are_those_that_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/arms.md has one row a key, under the name of its table."""
    asked: set[tuple[str, str]] = set()
    get = TomlTable.get

    def listen(table: TomlTable, key: str, *arguments: Any) -> Any:
        path = [part for part in table._at if isinstance(part, str)]
        asked.add((path[-1] if path else "", key))
        return get(table, key, *arguments)

    monkeypatch.setattr(TomlTable, "get", listen)
    joints = (*load_arm("koch-v1.1").joint_names, "swing")
    load_arm(write(tmp_path, GOOD.replace('mode = "current"', 'second = { id = 200 }\nmode = "current"', 1)))
    page = (Path(__file__).parents[2] / "docs" / "arms.md").read_text(encoding="utf-8")
    told, table = set(), ""
    for bold, name in re.findall(
        r"^\| (\*\*)?`\[*(\w+)\]*`", page.partition("## What an arm.toml says")[2], re.MULTILINE
    ):
        if bold:
            table = name
        else:
            told.add((table, name))
    files = {(table, key) for table, key in asked if table and key not in joints and table not in ("servo", "gains")}
    assert told == files


def test_current_mode_is_refused_where_the_servo_measures_its_supplys_current(tmp_path: Path) -> None:
    of_5_volts = (
        GOOD.replace("XM430-W350", "XL330-M288")
        .replace("[11.0, 13.0]", "[4.7, 5.5]")
        .replace("torque = 2", "torque = 0.2")
    )
    with pytest.raises(ArmSpecError, match=r"arm\.toml:21: joint\.1\.mode: XL330-M288 measures its supply.*use 'pwm'"):
        load_arm(write(tmp_path, of_5_volts))
    for mode in ("pwm", "current_position", "position"):
        assert (
            load_arm(write(tmp_path, of_5_volts.replace('mode = "current"', f'mode = "{mode}"'))).joints[0].mode == mode
        )


PAIR = GOOD.replace('mode = "current"', 'second = { id = 9 }\nmode = "current"')


def test_a_second_servo_turns_the_joint_the_other_way_and_both_are_one_strong_servo(tmp_path: Path) -> None:
    (one,) = load_arm(write(tmp_path, GOOD)).joints
    spec = load_arm(write(tmp_path, PAIR))
    (joint,) = spec.joints
    second = joint.second
    assert second is not None
    assert (spec.servos, spec.turned_by, spec.servo_ids) == ((joint, second), (0, 0), (7, 9))
    assert joint.moved_by == "servos 7 and 9"
    assert (one.moved_by, one.servo_ids) == ("servo 7", (7,))
    assert (second.sign, second.offset, second.limits) == (-joint.sign, joint.offset, joint.limits)
    assert joint.angle(2048 + 100) == pytest.approx(second.angle(2048 - 100))
    both, motor = joint.servo.motor, one.servo.motor
    assert both.torque_constant == motor.torque_constant  # of the current of both
    assert both.stall_torque == 2 * motor.stall_torque
    assert both.armature == 2 * motor.armature
    # At one voltage both draw twice one's current: the same law of the motor holds.
    assert both.stall_current * both.resistance == pytest.approx(motor.stall_current * motor.resistance)
    assert joint.servo.units["current"].scale == 2 * one.servo.units["current"].scale
    unit = joint.servo.register("goal_current").unit
    assert unit is not None
    assert unit.scale == joint.servo.units["current"].scale


def test_a_torque_limit_may_be_what_both_servos_do(tmp_path: Path) -> None:
    strong = "torque = 11"  # one XM430 behind a gear of two: 1.5 x 4.1 x 2 = 12.3, below that
    assert load_arm(write(tmp_path, PAIR.replace("torque = 2", "torque = 22"))).joints[0].limits.torque == 22
    with pytest.raises(ArmSpecError, match="torque"):
        load_arm(write(tmp_path, GOOD.replace("torque = 2", "torque = 22")))
    assert load_arm(write(tmp_path, GOOD.replace("torque = 2", strong))).joints[0].limits.torque == 11


def test_a_second_servo_says_what_differs(tmp_path: Path) -> None:
    text = GOOD.replace("gear = 2.0", "gear = 2.0\nsecond = { id = 9, sign = -1, offset = -0.1, homing_offset = 12 }")
    second = load_arm(write(tmp_path, text)).joints[0].second
    assert second is not None
    assert (second.sign, second.offset, second.homing_offset) == (-1, -0.1, 12)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("{ id = 7 }", r"second.id: 7 is the first servo's"),
        ("{ sign = 1 }", r"second.id: missing"),
        ("{}", r"second.id: missing"),
        ("{ id = 9, sign = 0 }", r"second.sign: expected 1 or -1, found 0"),
        ("{ id = 9, gear = 1 }", r"second.gear: unknown key; known here: homing_offset, id, offset, sign"),
        ("{ id = 9, offset = 3.0 }", r"second: the range is .* the encoder wraps"),
        ("{ id = 300 }", r"second.id: expected 0 to 252, found 300"),
    ],
)
def test_a_second_servo_that_cannot_be(tmp_path: Path, second: str, message: str) -> None:
    text = GOOD.replace('mode = "current"', f'second = {second}\nmode = "position"').replace("gear = 2.0", "gear = 1.0")
    with pytest.raises(ArmSpecError, match=rf"arm.toml:\d+: joint.1.{message}"):
        load_arm(write(tmp_path, text))


def test_an_id_serves_one_joint(tmp_path: Path) -> None:
    joint = PAIR[PAIR.index("[[joint]]") :].replace('"swing"', '"other"').replace("id = 7", "id = 5")
    text = PAIR.replace("swing = 0.2 }", "swing = 0.2, other = 0.0 }").replace(
        "swing = 0.0 }", "swing = 0.0, other = 0 }"
    )
    with pytest.raises(ArmSpecError, match=r"joint.2.second: ID 9 already moves joint 'swing'"):
        load_arm(write(tmp_path, text + "\n" + joint))
