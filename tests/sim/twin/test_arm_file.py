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
        ("id = 8", "id = 7", "the same servo id: 7"),
        ('name = "b"', 'name = "a"', "the same name: a"),
        (", b = 1", "", "pose 'rest' leaves out b"),
        ("sign = -1", "sign = 2", "joint 'a': sign must be 1 or -1, not 2"),
        ("gear = 2.0", "gear = 0", "joint 'a': gear must be positive"),
        ("baudrate = 57_600", "", "missing key 'baudrate'"),
        ("arm.xml", "leg.xml", "leg.xml, which does not exist"),
        ("[bus]", "[bus", "not valid TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    with pytest.raises(ArmFileError, match=complaint):
        TwinArm.load(write(tmp_path, GOOD.replace(old, new, 1)))
