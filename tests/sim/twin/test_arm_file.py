from pathlib import Path

import pytest

from sim.twin.arm_file import SHIPPED, ArmFileError, TwinArm

GOOD = """
[arm]
name = "two"
mjcf = "arm.xml"
tip = "tip"
[bus]
baudrate = 57_600
[supply]
voltage = [11, 13]
[poses]
rest = { a = 0.5, b = 1 }
[[joint]]
name = "a"
servo = { id = 7, model = "XM430-W350" }
mode = "current"
sign = -1
offset = 0.25
gear = 2.0
[[joint]]
name = "b"
servo = { id = 8, model = "XL330-M288" }
mode = "pwm"
"""


def write(folder: Path, text: str = GOOD) -> Path:
    (folder / "arm.xml").write_text("<mujoco/>")
    file = folder / "arm.toml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("as_folder", [True, False])
def test_an_arm_is_read_from_a_path(tmp_path: Path, as_folder: bool) -> None:
    file = write(tmp_path)
    arm = TwinArm.load(tmp_path if as_folder else file)
    assert (arm.name, arm.baudrate, arm.supply, arm.mjcf) == ("two", 57_600, (11.0, 13.0), tmp_path / "arm.xml")
    a, b = arm.joints
    assert (a.servo_id, a.servo_model, a.mode, a.sign, a.offset, a.gear) == (7, "XM430-W350", "current", -1, 0.25, 2.0)
    assert (b.sign, b.offset, b.gear) == (1, 0.0, 1.0)
    assert arm.pose("rest") == (0.5, 1.0)


def test_second_servos_come_behind_the_joints_first_ones(tmp_path: Path) -> None:
    both = GOOD.replace("gear = 2.0", "gear = 2.0\nsecond = { id = 9 }") + "second = { id = 3, sign = 1, offset = 0.5 }"
    assert [(s.name, s.joint, s.id, s.sign, s.offset) for s in TwinArm.load(write(tmp_path, both)).servos] == [
        ("a", 0, 7, -1, 0.25),
        ("b", 1, 8, 1, 0.0),
        ("a/2", 0, 9, 1, 0.25),
        ("b/2", 1, 3, 1, 0.5),
    ]


def test_no_joint_may_be_called_like_the_second_servo_of_another(tmp_path: Path) -> None:
    text = GOOD.replace("gear = 2.0", "second = { id = 9 }").replace('name = "b"', 'name = "a/2"')
    with pytest.raises(ArmFileError, match="two joints have the same name: a/2"):
        TwinArm.load(write(tmp_path, text))


def test_every_shipped_arm_is_found_by_name() -> None:
    names = sorted(folder.name for folder in SHIPPED.iterdir() if (folder / "arm.toml").is_file())
    assert {"open-manipulator-x", "koch-v1.1", "xl330-pendulum"} <= set(names)
    assert [TwinArm.load(name).name for name in names] == names


def test_an_unknown_arm_is_told_which_there_are() -> None:
    with pytest.raises(ArmFileError, match=r"no arm 'koch'.*koch-v1\.1, open-manipulator-x"):
        TwinArm.load("koch")


def test_an_unknown_pose_is_told_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(ArmFileError, match="no pose 'home'; it has rest"):
        TwinArm.load(write(tmp_path)).pose("home")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("id = 8", "id = 7", "two servos have the same id: 7"),
        ('name = "b"', 'name = "a"', "two joints have the same name: a"),
        (", b = 1", "", "pose 'rest' leaves out b"),
        ("sign = -1", "sign = 2", "joint 'a': sign must be 1 or -1, not 2"),
        ("gear = 2.0", "gear = 0", "joint 'a': gear must be positive"),
        ("baudrate = 57_600", "", "missing key 'baudrate'"),
        ("arm.xml", "leg.xml", "leg.xml, which does not exist"),
        ("[bus]", "[bus", "not valid TOML"),
        ("id = 7", 'id = "7"', "joint 'a': servo: id must be a whole number, not '7'"),
        ("id = 7", "id = true", "joint 'a': servo: id must be a whole number, not True"),
        ("id = 7", "id = 300", "joint 'a': servo: id must be from 0 to 252, not 300"),
        ('servo = { id = 7, model = "XM430-W350" }', "servo = 7", "joint 'a': servo must be a table, not 7"),
        ("offset = 0.25", "offset = nan", "joint 'a': offset must be a finite number, not nan"),
        ("offset = 0.25", 'offset = "x"', "joint 'a': offset must be a number, not 'x'"),
        ("rest = { a = 0.5, b = 1 }", "home = 3", r"\[poses\]: home must be a table, not 3"),
        ('mode = "pwm"', 'mode = "dance"', "joint 'b': mode 'dance': XL330-M288 has .*extended_position"),
        ("XL330-M288", "XL999", "joint 'b': servo: no servo data file for model 'XL999'; known: XL330-M077"),
        ("a = 0.5", "a = inf", "pose 'rest': a must be a finite number, not inf"),
        ("[11, 13]", "[11]", r"\[supply\]: voltage must be two numbers in brackets, not \[11\]"),
        ("[11, 13]", "12", r"\[supply\]: voltage must be two numbers in brackets, not 12"),
        ("baudrate = 57_600", "baudrate = 57.6", r"\[bus\]: baudrate must be a whole number, not 57.6"),
        ('name = "two"', "name = 2", r"\[arm\]: name must be text in quotes, not 2"),
        ('name = "b"', "", r"\[\[joint\]\] number 2: missing key 'name'"),
        ("sign = -1", "second = { id = 7 }", "two servos have the same id: 7"),
        ("sign = -1", "second = { id = 8 }", "two servos have the same id: 8"),
        ("sign = -1", "second = { id = 9, sign = 0 }", "joint 'a': second: sign must be 1 or -1, not 0"),
        ("sign = -1", "second = { id = 253 }", "joint 'a': second: id must be from 0 to 252, not 253"),
        ("sign = -1", "second = { sign = 1 }", "joint 'a': second: missing key 'id'"),
        ("sign = -1", "second = 9", "joint 'a': second must be a table, not 9"),
        ("sign = -1", 'second = { id = 9, offset = "x" }', "joint 'a': second: offset must be a number, not 'x'"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    with pytest.raises(ArmFileError, match=complaint):
        TwinArm.load(write(tmp_path, GOOD.replace(old, new, 1)))


@pytest.mark.parametrize("joints", ["[1]", "[]", "1", '"a"'])
def test_joints_that_are_no_tables_are_refused(tmp_path: Path, joints: str) -> None:
    with pytest.raises(ArmFileError, match=r"arm\.toml: joint must be tables, each under a line \[\[joint\]\], not"):
        TwinArm.load(write(tmp_path, f"joint = {joints}\n" + GOOD.split("[[joint]]", maxsplit=1)[0]))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path)
    file.write_bytes(GOOD.encode().replace(b"two", b"\xff\xfe"))
    with pytest.raises(ArmFileError, match=r"arm\.toml: not UTF-8 text \(byte 15\)"):
        TwinArm.load(file)
