"""Numbers change in place; every other character of an arm file stays."""

from __future__ import annotations

import difflib
import shutil
import tomllib
from pathlib import Path

import pytest

from robot_runtime.setup.arm_file import Edit, draft, edited, joint_edits, save
from robot_runtime.setup.errors import ArmFileError
from robot_runtime.spec import ArmSpecError, load_arm, shipped_arms

TEXT = """\
# A comment at the top.
[bus]
baudrate = 1_000_000          # bit/s
[[joint]]
name = "one"   # the first
sign = 1                      # +1: the angle grows with the servo's ticks
offset = 0.0                  # rad
[[joint]]
name = "two"
  sign=-1
offset = -1.5e-1
homing_offset = 12 # ticks

# the end
"""


def changed(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if line[0] in "+-" and line[:3] not in ("---", "+++")]


def test_a_number_changes_and_its_comment_keeps_its_column() -> None:
    after = edited(TEXT, joint_edits(0, {"sign": -1, "offset": 0.1235}))
    assert changed(TEXT, after) == [
        "-sign = 1                      # +1: the angle grows with the servo's ticks",
        "-offset = 0.0                  # rad",
        "+sign = -1                     # +1: the angle grows with the servo's ticks",
        "+offset = 0.1235               # rad",
    ]


def test_the_right_joint_is_changed_whatever_its_layout() -> None:
    after = edited(TEXT, joint_edits(1, {"sign": 1, "offset": 2.0, "homing_offset": 0}))
    assert changed(TEXT, after) == [
        "-  sign=-1",
        "-offset = -1.5e-1",
        "-homing_offset = 12 # ticks",
        "+  sign=1",
        "+offset = 2.0",
        "+homing_offset = 0  # ticks",
    ]


def test_a_new_key_goes_behind_its_siblings() -> None:
    after = edited(TEXT, joint_edits(0, {"homing_offset": -100}))
    assert changed(TEXT, after) == ["+homing_offset = -100"]
    assert after.splitlines()[7] == "homing_offset = -100"
    assert tomllib.loads(after)["joint"][0]["homing_offset"] == -100


def test_long_numbers_are_grouped() -> None:
    assert "baudrate = 3_000_000          # bit/s" in edited(TEXT, [Edit(("bus", "baudrate"), 3_000_000)])


def test_windows_line_ends_and_a_missing_last_one_stay() -> None:
    text = TEXT.replace("\n", "\r\n").removesuffix("\r\n# the end\r\n").removesuffix(" # ticks\r\n")
    after = edited(text, joint_edits(1, {"homing_offset": 7}))
    assert after == text[:-2] + "7"


@pytest.mark.parametrize(
    "text",
    [
        'joint = [{ name = "one", sign = 1, offset = 0.0 }]\n',
        '[[joint]]\nname = "one"\nsign = [\n1]\noffset = 0.0\n',
    ],
)
def test_a_file_that_cannot_be_changed_line_by_line_says_what_to_write(text: str) -> None:
    with pytest.raises(ArmFileError, match=r"joint\.1\.sign .* sign = -1 by hand"):
        edited(text, joint_edits(0, {"sign": -1}))


@pytest.mark.parametrize("arm", shipped_arms())
def test_shipped_arms_change_in_three_lines_a_joint(arm: str) -> None:
    spec = load_arm(arm)
    text = spec.path.read_text(encoding="utf-8")
    edits = [
        edit
        for i in range(len(spec.joints))
        for edit in joint_edits(i, {"sign": -1, "offset": 0.01 * (i + 1), "homing_offset": 5})
    ]
    doubled = [i for i, joint in enumerate(spec.joints) if joint.second]
    for i in doubled:
        edits += joint_edits(i, {"second": {"id": 100 + i, "sign": 1, "offset": -0.5}})
    after = edited(text, edits)
    as_before = sum(joint.sign == -1 for joint in spec.joints)
    assert len(changed(text, after)) == 5 * len(spec.joints) + 2 * (len(doubled) - as_before)
    old, new = tomllib.loads(text), tomllib.loads(after)
    for i, joint in enumerate(new["joint"]):
        assert (joint.pop("sign"), joint.pop("offset"), joint.pop("homing_offset")) == (-1, 0.01 * (i + 1), 5)
        del old["joint"][i]["sign"], old["joint"][i]["offset"]
        if i in doubled:
            assert joint.pop("second") == {"id": 100 + i, "sign": 1, "offset": -0.5}
            del old["joint"][i]["second"]
    assert old == new


@pytest.fixture
def own(tmp_path: Path) -> Path:
    shutil.copytree(load_arm("koch-v1.1").path.parent, tmp_path / "arm")
    return tmp_path / "arm"


def test_saving_keeps_the_old_file(own: Path) -> None:
    before = (own / "arm.toml").read_text()
    spec = save(load_arm(own), joint_edits(2, {"offset": 0.1}))
    assert spec.joints[2].offset == 0.1
    assert (own / "arm.toml.bak").read_text() == before
    assert {f.name for f in own.iterdir()} == {"arm.toml", "arm.toml.bak", "arm.xml"}


def test_an_arm_that_would_not_be_valid_is_not_saved(own: Path) -> None:
    before = (own / "arm.toml").read_text()
    with pytest.raises(ArmSpecError, match=r"arm\.toml:\d+: .*wraps"):
        save(load_arm(own), joint_edits(4, {"offset": 1.0}))
    assert (own / "arm.toml").read_text() == before
    assert {f.name for f in own.iterdir()} == {"arm.toml", "arm.xml"}


def test_saving_elsewhere_leaves_the_original_alone(own: Path, tmp_path: Path) -> None:
    before = (own / "arm.toml").read_text()
    spec = save(load_arm(own), joint_edits(2, {"offset": 0.1}), tmp_path / "mine")
    assert spec.path == tmp_path / "mine" / "arm.toml"
    assert load_arm(tmp_path / "mine").joints[2].offset == 0.1
    assert (own / "arm.toml").read_text() == before
    with pytest.raises(ArmFileError, match="exists already"):
        save(load_arm(own), joint_edits(2, {"offset": 0.2}), tmp_path / "mine")


def test_an_older_backup_is_never_lost(own: Path) -> None:
    before = (own / "arm.toml").read_text()
    for offset in (0.1, 0.2, 0.3):
        save(load_arm(own), joint_edits(2, {"offset": offset}))
    assert (own / "arm.toml.bak").read_text() == before
    assert load_arm(own / "arm.toml.bak.2").joints[2].offset == 0.1
    assert load_arm(own / "arm.toml.bak.3").joints[2].offset == 0.2


def test_line_ends_and_mode_stay(own: Path) -> None:
    file = own / "arm.toml"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    file.chmod(0o640)
    save(load_arm(own), joint_edits(2, {"offset": 0.1}))
    data = file.read_bytes()
    assert data.count(b"\r\n") == data.count(b"\n") > 10
    assert file.stat().st_mode & 0o777 == 0o640


def test_the_file_behind_a_link_is_changed(own: Path, tmp_path: Path) -> None:
    real = tmp_path / "kept" / "real.toml"
    real.parent.mkdir()
    (own / "arm.toml").rename(real)
    (own / "arm.toml").symlink_to(real)
    save(load_arm(own), joint_edits(2, {"offset": 0.1}))
    assert (own / "arm.toml").is_symlink()
    assert "offset = 0.1" in real.read_text()
    assert [f.name for f in real.parent.iterdir()] == ["real.toml"]


def test_a_draft_that_is_not_put_leaves_nothing_behind(own: Path, tmp_path: Path) -> None:
    before = (own / "arm.toml").read_text()
    with draft(load_arm(own), joint_edits(2, {"offset": 0.1})):
        pass
    with draft(load_arm(own), joint_edits(2, {"offset": 0.1}), tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").exists()
    assert (own / "arm.toml").read_text() == before
    assert {f.name for f in own.iterdir()} == {"arm.toml", "arm.xml"}
    assert not (tmp_path / "a").exists()
