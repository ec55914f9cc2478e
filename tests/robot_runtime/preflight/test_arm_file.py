"""What `robot-setup check` finds in an arm's files: each mistake that somebody with an arm of their own makes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from robot_runtime.preflight.arm_file import check_arm_file
from robot_runtime.preflight.table import Check
from robot_runtime.spec import load_arm, shipped_arms

Change = tuple[str, str, str]
"""File, pattern, what becomes of its matches."""


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., list[Check]]:
    """Checks of a shipped arm whose files were changed."""

    def check(name: str, *changes: Change) -> list[Check]:
        folder = tmp_path / name
        shutil.copytree(load_arm(name).path.parent, folder)
        for file, pattern, new in changes:
            text = (folder / file).read_text(encoding="utf-8")
            changed, count = re.subn(pattern, new, text)
            assert count, f"nothing in {file} looks like {pattern}"
            (folder / file).write_text(changed, encoding="utf-8")
        return check_arm_file(load_arm(folder, zeroed=False))

    return check


@pytest.mark.parametrize("name", shipped_arms())
def test_nothing_is_found_in_arms_that_ship(files: Callable[..., list[Check]], name: str) -> None:
    checks = files(name)
    # Outstretched, the WidowX's own weight takes half of what its shoulder can do at all: the limit must be above that.
    odd = ["torque"] if name == "widowx-250s" else []
    assert [check.name for check in checks if check.ok is not True] == odd
    assert all(check.ok is not False for check in checks)
    rows = [check.name for check in checks]
    assert len(rows) == len(set(rows))


OPEN, KOCH, PENDULUM = "open-manipulator-x", "koch-v1.1", "xl330-pendulum"

MISTAKES = [
    (KOCH, ("arm.xml", 'name="table"', 'name="floor"'), "model", False, "geom 'table'"),
    (KOCH, ("arm.xml", r"<option", '<option gravity="0 0 0"'), "gravity", None, "gravity is 0, 0, 0"),
    (KOCH, ("arm.xml", r"<option", '<option><flag contact="disable"/></option><option'), "motors", None, "contact off"),
    (
        KOCH,
        ("arm.xml", r'<joint name="elbow_flex"', r'<joint stiffness="20" name="elbow_flex"'),
        "motors",
        None,
        "20 N",
    ),
    (KOCH, ("arm.toml", r"velocity = 4\.0", "velocity = 5.5"), "speed", None, "shoulder_pan: 5.5 rad/s"),
    (KOCH, ("arm.toml", r"torque = 0\.7", "torque = 1.2"), "torque", None, "shoulder_pan: 1.2 N·m"),
    (KOCH, ("arm.toml", r"acceleration = 30\.0", "acceleration = 500.0"), "acceleration", False, "shoulder_pan"),
    (KOCH, ("arm.toml", r"voltage = \[4\.7, 12\.6\]", "voltage = [4.7, 8.0]"), "supply", None, "XL430-W250"),
    (KOCH, ("arm.toml", r"rest = \{[^}]*\}", "rest = {REST}"), "rest", None, "shoulder_lift turns by"),
    (KOCH, ("arm.toml", r"offset = 0\.0", "offset = 1.5"), "zero", False, "wraps at"),
    (
        KOCH,
        ("arm.xml", r'(<joint name="shoulder_lift")', r'<joint name="loose" axis="1 0 0"/>\1'),
        "model",
        False,
        "loose",
    ),
    (KOCH, ("arm.xml", r'mass="[0-9.]+"', 'mass="0.001"'), "masses", None, "weigh"),
    (KOCH, ("arm.xml", r'pos="0.003 0 0.0712"', 'pos="3 0 71.2"'), "masses", None, "mm off"),
    (KOCH, ("arm.xml", r'armature="[^"]*"', 'armature="0.1"'), "rotors", None, 'shoulder_pan has armature="0.1"'),
    (KOCH, ("arm.xml", r'armature="[^"]*"', 'armature="0"'), "model", False, "shoulder_pan has armature 0"),
    (KOCH, ("arm.xml", r"<geom type", '<geom contype="0" conaffinity="0" type'), "model", False, "nothing at the tip"),
    (
        KOCH,
        ("arm.xml", r'<geom name="(forearm|wrist)"', r'<geom contype="0" conaffinity="0" name="\1"'),
        "model",
        None,
        "forearm, wrist",
    ),
    (KOCH, ("arm.xml", r'mass="([0-9.]+)"', r'mass="\1e3"'), "masses", None, "kg"),
    (
        KOCH,
        ("arm.xml", r'<joint name="elbow_flex" [^>]*>', '<joint name="elbow_flex" class="XL330-M288" axis="0 1 0"/>'),
        "joints",
        None,
        "elbow_flex has no range",
    ),
    (KOCH, ("arm.xml", r'mass="0.050"', 'mass="0.012"'), "masses", None, "upper_arm weighs 12 g"),
    (
        KOCH,
        ("arm.xml", r'<body name="hand" pos="0.045', '<body name="hand" pos="4.5'),
        "masses",
        None,
        "m from a joint",
    ),
    (KOCH, ("arm.toml", r"(position_d_gain = 600)", r"\1, position_i_gain = 90"), "gains", None, "position_i_gain 90"),
    (
        KOCH,
        ("arm.toml", r"id = 4, model = \"XL330-M288", 'id = 4, model = "XL330-M077'),
        "gains",
        None,
        "wrist_flex: po",
    ),
    (OPEN, ("arm.toml", r"(?m)^gains = .*$", ""), "damping", None, "gripper: position_d_gain 0"),
    (KOCH, ("arm.toml", r"temperature = 65", "temperature = 80"), "heat", None, "shoulder_pan: 80 °C"),
    (OPEN, ("arm.toml", r"voltage = \[[^]]*\]", "voltage = [11.0, 19.0]"), "supply", None, "11 to 19 V"),
    (PENDULUM, ("arm.toml", r"torque = 0\.25", "torque = 0.15"), "weight", None, "up to 0.15 N·m"),
]
REST = "shoulder_pan = 0.0, shoulder_lift = 0.5, elbow_flex = 0.0, wrist_flex = 0.0, wrist_roll = 0.0, gripper = 0.0"


@pytest.mark.parametrize(
    ("name", "change", "row", "ok", "told"), MISTAKES, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_mistake_is_found_where_it_is(
    files: Callable[..., list[Check]], name: str, change: Change, row: str, ok: bool | None, told: str
) -> None:
    file, pattern, new = change
    checks = files(name, (file, pattern, new.replace("REST", REST)))
    found = [check for check in checks if check.name == row and check.ok is not True]
    assert {check.ok for check in found} == {ok}
    assert told in found[0].found
    assert all(check.advice for check in found)


def test_the_line_that_takes_an_i_gain_away_can_be_typed_as_it_stands(files: Callable[..., list[Check]]) -> None:
    line = r"gains = \{ position_p_gain = 1500, position_d_gain = 600"
    [found] = [
        c for c in files(KOCH, ("arm.toml", line, line.replace("\\", "") + ", position_i_gain = 90")) if not c.ok
    ]
    advised = "gains = { position_p_gain = 1500, position_d_gain = 600, position_i_gain = 0 }"
    assert found.advice == f"write {advised} at joint 'elbow_flex' in arm.toml"


def test_something_that_moves_beside_the_arm_is_told(files: Callable[..., list[Check]]) -> None:
    cube = '<body name="cube" pos="0.5 0 0.01"><freejoint/><geom type="sphere" size="0.01"/></body></worldbody>'
    checks = files(KOCH, ("arm.xml", "</worldbody>", cube))
    found = [check for check in checks if check.name == "joints"]
    assert [check.ok for check in found] == [None]
    assert "cube moves" in found[0].found
    assert [check.ok for check in checks if check.name == "poses"] == [True], "it lies on the table, and may"


def test_a_follower_that_stops_before_its_leader_is_told(files: Callable[..., list[Check]]) -> None:
    checks = files(OPEN, ("arm.xml", r'range="-0\.0105 0\.0195"', 'range="0 0.002"'))
    assert [(check.ok, "its range is 0 to 0.002" in check.found) for check in checks if check.name == "joints"] == [
        (None, True)
    ]


def test_a_follower_of_nothing_is_refused(files: Callable[..., list[Check]]) -> None:
    checks = files(OPEN, ("arm.xml", r"(?s)<equality>.*?</equality>", ""))
    assert [check.ok for check in checks if check.name == "model"] == [False]


@pytest.mark.parametrize(
    "help_",
    [
        '<actuator><position joint="shoulder_lift" kp="50"/><position joint="elbow_flex" kp="50"/></actuator></mujoco>',
        "</mujoco>",
    ],
)
@pytest.mark.parametrize("floats", ["", ' gravcomp="1"'])
def test_what_holds_the_arm_up_in_simulation_does_not_hold_the_real_one(
    files: Callable[..., list[Check]], help_: str, floats: str
) -> None:
    checks = files(
        KOCH,
        ("arm.toml", r"rest = \{[^}]*\}", f"rest = {{ {REST} }}"),
        ("arm.xml", "</mujoco>", help_),
        ("arm.xml", r'<body name="(\w+)"', rf'<body name="\1"{floats}'),
    )
    assert [check.ok for check in checks if check.name == "rest"] == [None]


@pytest.mark.parametrize(("friction", "stays"), [(0.0128, True), (0.001, False)])
def test_a_weight_that_is_balanced_falls_to_one_side_unless_friction_holds_it(
    files: Callable[..., list[Check]], friction: float, stays: bool
) -> None:
    upright = ("arm.toml", r"rest = \{ pendulum = [^ ]+", "rest = { pendulum = 3.141593")
    checks = files(PENDULUM, upright, ("arm.xml", 'frictionloss="[^"]*"', f'frictionloss="{friction}"'))
    [rest] = [check for check in checks if check.name == "rest"]
    assert (rest.ok is True) == stays


def test_an_mjcf_that_cannot_be_simulated_leaves_no_file_behind(
    files: Callable[..., list[Check]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checks = files(KOCH, ("arm.xml", r'armature="[^"]*" damping="[^"]*"', 'armature="1e-9" damping="-5"'))
    [rest] = [check for check in checks if check.name == "rest"]
    assert rest.ok is None
    assert "flies apart" in rest.found
    assert not list(tmp_path.glob("MUJOCO_LOG*"))


def test_what_moved_the_arm_elsewhere_is_said_to_be_left_aside(files: Callable[..., list[Check]]) -> None:
    motor = '<actuator><position joint="elbow_flex" kp="25"/></actuator></mujoco>'
    [motors] = [check for check in files(KOCH, ("arm.xml", "</mujoco>", motor)) if check.name == "motors"]
    assert motors.ok is True
    assert "1 actuators left aside" in motors.found


def test_a_body_that_weighs_nothing_is_no_mass_outside_its_shape(files: Callable[..., list[Check]]) -> None:
    badge = r'<body name="badge"><geom type="sphere" size="0.001" mass="0"/></body><site name="tip"'
    checks = files(KOCH, ("arm.xml", '<site name="tip"', badge))
    assert [check.ok for check in checks if check.name == "masses"] == [True]


def test_a_follower_whose_equality_is_off_follows_nobody(files: Callable[..., list[Check]]) -> None:
    checks = files(OPEN, ("arm.xml", '<joint name="crank_left"', '<joint active="false" name="crank_left"'))
    assert [check.ok for check in checks if check.name == "model"] == [False]


def test_the_example_of_the_documentation_is_right(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "arms.md").read_text(encoding="utf-8")
    for language, file in (("toml", "arm.toml"), ("xml", "arm.xml")):
        block, *_ = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
        (tmp_path / file).write_text(block, encoding="utf-8")
    assert [check for check in check_arm_file(load_arm(tmp_path)) if check.ok is not True] == []
