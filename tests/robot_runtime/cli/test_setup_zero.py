"""robot-setup zero: an arm in a twin is moved by hand in virtual time, and its file learns the truth."""

from __future__ import annotations

import difflib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from robot_runtime.arm import Arm
from robot_runtime.cli import captures, setup_zero
from robot_runtime.cli.common import Screen
from robot_runtime.cli.setup import main
from robot_runtime.setup.plan import POSITION_REGISTERS, wanted
from robot_runtime.setup.zero import Zeroing
from robot_runtime.spec import load_arm
from sim.twin.lockstep import LockstepPort
from sim.twin.twin import Twin
from tests.robot_runtime.cli.conftest import Desk
from tests.robot_runtime.setup.hand import Hand

SECONDS = ("--seconds", "6")


@pytest.fixture
def own(desk: Desk) -> Path:
    """An arm file of one's own that knows nothing of signs and offsets yet."""
    folder = desk.folder / "mine"
    shutil.copytree(load_arm("koch-v1.1").path.parent, folder)
    change(folder, 1, "sign", "-1")
    change(folder, 2, "offset", "0.5  # a guess")
    return folder


def change(folder: Path, joint: int, key: str, value: str) -> None:
    """Write another value into the arm file."""
    lines = (folder / "arm.toml").read_text().splitlines()
    nth = [i for i, line in enumerate(lines) if line.startswith(f"{key} = ")][joint]
    lines[nth] = f"{key} = {value}"
    (folder / "arm.toml").write_text("\n".join(lines) + "\n")


def at_hand(desk: Desk, twin: Twin, act: Callable[[Hand, str], None] = Hand.obey) -> Hand:
    """Somebody does what the command says."""
    hand = Hand(desk.put(twin))
    say = Screen.aside

    def listening(screen: Screen, text: str) -> None:
        act(hand, text)
        say(screen, text)

    desk.monkeypatch.setattr(Screen, "aside", listening)
    return hand


def test_the_file_learns_the_truth_and_the_arm_opens(desk: Desk, own: Path) -> None:
    truth = load_arm("koch-v1.1")
    twin = Twin.load("koch-v1.1")
    twin.servos[3].set_eeprom(homing_offset=300)
    at_hand(desk, twin)
    before = (own / "arm.toml").read_text()
    ended = desk.run(main, "zero", "--arm", str(own), *SECONDS, "--yes")
    assert ended.code == 0, ended.err
    zeroed = load_arm(own)
    for joint, true in zip(zeroed.joints, truth.joints, strict=True):
        assert joint.sign == true.sign
        assert joint.offset == pytest.approx(true.offset, abs=0.003)
        assert joint.homing_offset == 0
    assert (own / "arm.toml.bak").read_text() == before
    assert twin.servos[3].get("homing_offset") == 0
    for joint, servo in zip(zeroed.joints, twin.servos, strict=True):
        want = wanted(joint, zeroed.bus, joint.servo)
        for name in POSITION_REGISTERS:
            assert servo.get(name) == want[name].value
    Arm.open(zeroed, LockstepPort(twin)).prepare()


def test_only_the_lines_that_changed_change(desk: Desk, own: Path) -> None:
    at_hand(desk, Twin.load("koch-v1.1"))
    before = (own / "arm.toml").read_text().splitlines()
    assert desk.run(main, "zero", "--arm", str(own), *SECONDS, "--yes", "--joints", "elbow_flex").code == 0
    after = (own / "arm.toml").read_text().splitlines()
    changed = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    offset, within, gone = sorted(changed)
    assert gone.startswith("- offset = 0.5")
    assert offset.startswith("+ offset = ")
    assert abs(float(offset.split("=")[1].split("#")[0])) < 0.003
    assert within == "+ zero_within = 0.02"


def test_a_shipped_arm_is_copied_here(desk: Desk) -> None:
    at_hand(desk, Twin.load("xl330-pendulum"))
    shipped = load_arm("xl330-pendulum").path
    before = shipped.read_text()
    hand = ("zero", "--arm", "xl330-pendulum", *SECONDS, "--yes", "--json")
    result = desk.run(main, *hand).json
    assert result["joints"][0]["sign"] == 1
    assert result["joints"][0]["offset"] == pytest.approx(1.5708, abs=0.002)
    assert shipped.read_text() == before


def test_a_script_without_times_or_log_is_refused(desk: Desk, own: Path) -> None:
    desk.put(Twin.load("koch-v1.1"))
    ended = desk.run(main, "zero", "--arm", str(own), "--yes")
    assert ended.code == 5
    assert "--seconds S" in ended.err
    assert "--from-log FILE" in ended.err


def test_torque_is_refused_and_released_on_request(desk: Desk, own: Path) -> None:
    twin = Twin.load("koch-v1.1")
    at_hand(desk, twin)
    servo = twin.servos[1]
    servo.write(servo.table.registers["torque_enable"].address, b"\x01")
    ended = desk.run(main, "zero", "--arm", str(own), *SECONDS, "--yes")
    assert ended.code == 5
    assert "torque is on in shoulder_lift" in ended.err
    assert servo.torque_on
    assert desk.run(main, "zero", "--arm", str(own), *SECONDS, "--yes", "--release").code == 0
    assert not servo.torque_on


def test_a_reversed_servo_is_sent_to_set_up_first(desk: Desk, own: Path) -> None:
    twin = desk.put(Twin.load("koch-v1.1"))
    twin.servos[1].set_eeprom(drive_mode=1)
    ended = desk.run(main, "zero", "--arm", str(own), *SECONDS, "--yes")
    assert ended.code == 5
    assert "run 'robot-setup arm' first" in ended.err


@pytest.mark.parametrize(
    ("act", "complaint"),
    [
        (lambda hand, text: None, "'shoulder_pan' did not move"),
        (lambda hand, text: hand.obey(text, -0.4), "moved the wrong way for its sign"),
        (
            lambda hand, text: hand.move(shoulder_lift=1.0) if "shoulder_pan" in text else None,
            "'shoulder_pan' did not move, but shoulder_lift did",
        ),
    ],
)
def test_what_cannot_be_right_is_refused_and_nothing_is_written(
    desk: Desk, own: Path, act: Callable[[Hand, str], None], complaint: str
) -> None:
    twin = Twin.load("koch-v1.1")
    at_hand(desk, twin, act)
    before = (own / "arm.toml").read_text()
    ended = desk.run(main, "zero", "--arm", str(own), *SECONDS, "--yes", "--keep-signs")
    assert ended.code == 5
    assert complaint in ended.err
    assert (own / "arm.toml").read_text() == before
    assert twin.servos[0].get("max_position_limit") == 4095


def test_a_horn_put_on_so_that_the_wrap_is_inside_the_range(desk: Desk, own: Path) -> None:
    """The twin's arm is assembled that way; the arm file cannot be loaded otherwise, and zero says what to do."""
    odd = desk.folder / "odd"
    shutil.copytree(load_arm("koch-v1.1").path.parent, odd)
    change(odd, 4, "offset", "1.0")
    at_hand(desk, Twin.load(str(odd)))
    ended = desk.run(main, "zero", "--arm", str(odd), *SECONDS, "--yes")
    assert ended.code == 5
    assert "'wrist_roll': the encoder wraps at -2.14 rad, inside its limits (-3.05 to 3.05)" in ended.err
    assert "until it reads 2048 ticks in the pose 'home' (57 degrees from here)" in ended.err


def test_hard_stops_settle_what_a_pose_would(desk: Desk, own: Path) -> None:
    limits = load_arm("koch-v1.1").joints[2].limits

    def act(hand: Hand, text: str) -> None:
        hand.obey(text)
        if "both hard stops" in text:
            hand.move(elbow_flex=[limits.lower - 0.05, limits.upper + 0.05])

    at_hand(desk, Twin.load("koch-v1.1"), act)
    ended = desk.run(
        main, "zero", "--arm", str(own), "--seconds", "12", "--yes", "--json", "--stops", "--joints", "elbow_flex"
    )
    assert ended.code == 0, ended.out
    assert ended.json["joints"][0]["offset"] == pytest.approx(0.0, abs=0.005)


def test_a_kept_log_gives_the_same_result_without_an_arm(desk: Desk, own: Path) -> None:
    at_hand(desk, Twin.load("koch-v1.1"))
    live = desk.run(main, "zero", "--arm", str(own), *SECONDS, "--dry-run", "--json", "--save-log", "log.jsonl").json
    desk.twin = None  # no port can be opened any more
    kept = desk.run(main, "zero", "--arm", str(own), "--dry-run", "--json", "--from-log", "log.jsonl").json
    assert kept["joints"] == live["joints"]
    assert (kept["written"], kept["arm_file"]) == (False, str(own / "arm.toml"))
    missing = desk.run(main, "zero", "--arm", str(own), "--dry-run", "--stops", "--from-log", "log.jsonl")
    assert missing.code == 2
    assert "holds no capture 'stops'" in missing.err


@pytest.mark.parametrize("text", ["", "{}", '{"kind": "something"}\n', "not json"])
def test_a_log_that_is_none(desk: Desk, own: Path, text: str) -> None:
    (desk.folder / "log").write_text(text)
    assert desk.run(main, "zero", "--arm", str(own), "--dry-run", "--from-log", "log").code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("--pose", "nowhere"),
        ("--joints", "knee"),
        ("--seconds", "0"),
        ("--seconds", "-1"),
        ("--seconds", "nan"),
        ("--seconds", "inf"),
    ],
)
def test_wrong_usage(desk: Desk, own: Path, arguments: tuple[str, ...]) -> None:
    assert desk.run(main, "zero", "--arm", str(own), *arguments).code == 2


def test_an_arm_that_falls_silent(desk: Desk, own: Path) -> None:
    twin = Twin.load("koch-v1.1", faults=["power-cycled:at=4,for=600"])
    desk.put(twin)
    ended = desk.run(main, "zero", "--arm", str(own), "--seconds", "20", "--yes")
    assert ended.code == 4
    assert "does not answer any more" in ended.err


def test_somebody_who_errs_is_asked_again(desk: Desk, own: Path) -> None:
    """At a terminal: Enter ends a capture; one that cannot be right is said and repeated; then one question."""
    tries: list[str] = []

    def act(hand: Hand, text: str) -> None:
        if text.startswith("Move"):
            tries.append(text)
            hand.obey(text, 0.4 if len(tries) > 1 else 0.0)
        else:
            hand.obey(text)

    hand = at_hand(desk, Twin.load("koch-v1.1"), act)
    settled = {"since": 0.0}

    def enter() -> bool:
        """Pressed a second after the hand has come to rest."""
        now = hand.twin.time
        if any(hand.moving):
            settled["since"] = now
        pressed = now > settled["since"] + 1.0
        if pressed:
            settled["since"] = now
        return pressed

    desk.monkeypatch.setattr(captures, "_enter_pressed", enter)
    desk.somebody("y")
    ended = desk.run(main, "zero", "--arm", str(own), "--joints", "shoulder_lift")
    assert ended.code == 0, ended.err
    assert "'shoulder_lift' did not move" in ended.err
    assert "Once more" in ended.err
    assert len(tries) == 2
    assert load_arm(own).joints[1].sign == 1


def test_the_live_table_shows_every_joint(own: Path) -> None:
    spec = load_arm(own, zeroed=False)
    zeroing = Zeroing(spec, dict.fromkeys(spec.joint_names, 0))
    for i in range(20):
        zeroing.feed(0.04 * i, [2048 + 20 * i, 2048, 2048, None, 2048, 2048])
    console = Console(width=120, force_terminal=False)
    with console.capture() as shown:
        console.print(captures.live_table(zeroing, zeroing.captures[0]))
    lines = [line.strip() for line in shown.get().splitlines() if "_" in line]
    rows = {line.removeprefix(">").split()[0]: line for line in lines}
    assert rows["shoulder_pan"].startswith(">")
    assert rows["shoulder_pan"].split()[2:] == ["1", "2428", "0.583", "-0", "+33", "up"]
    assert rows["elbow_flex"].split()[1:] == ["3", "2048", "0.500", "-0", "+0", "still"]
    assert "no answer" in rows["wrist_flex"]


def test_a_log_that_is_there_is_not_overwritten(desk: Desk, own: Path) -> None:
    at_hand(desk, Twin.load("koch-v1.1"))
    (desk.folder / "log").write_text("precious")
    ended = desk.run(main, "zero", "--arm", str(own), *SECONDS, "--dry-run", "--save-log", "log")
    assert ended.code == 2
    assert (desk.folder / "log").read_text() == "precious"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"gripper": 0', '"other": 0'),
        ('"gripper": 0', '"gripper": "0"'),
        ('"ticks": [', '"ticks": ["text", '),
        ('"ticks": [', '"ticks": [1.5, '),
        ('"ticks": [', '"ticks": [7, '),
        ('"ticks": [', '"tacks": ['),
        ('"t": ', '"t": NaN, "u": '),
        ('"t": ', '"t": 1e999, "u": '),
        ('{"capture": "pose"}', '{"capture": ["pose"]}'),
        ('{"capture": "pose"}', "7"),
    ],
)
def test_a_damaged_log_is_refused(desk: Desk, own: Path, old: str, new: str) -> None:
    spec = load_arm(own, zeroed=False)
    head = {"kind": "robot-setup zero log", "version": 1, "joints": list(spec.joint_names)}
    lines = [json.dumps({**head, "homing_offset": dict.fromkeys(spec.joint_names, 0)})]
    for label in (*(f"sign {name}" for name in spec.joint_names), "pose"):
        lines += [json.dumps({"capture": label}), json.dumps({"t": 0.0, "ticks": [2048] * 6})]
    text = "\n".join(lines)
    assert old in text
    (desk.folder / "log").write_text(text.replace(old, new))
    ended = desk.run(main, "zero", "--arm", str(own), "--dry-run", "--from-log", "log")
    assert (ended.code, ended.err.count("is not a log of robot-setup zero")) == (2, 1)


def test_a_capture_without_readings(desk: Desk, own: Path) -> None:
    spec = load_arm(own, zeroed=False)
    head = {"kind": "robot-setup zero log", "version": 1, "joints": list(spec.joint_names)}
    head["homing_offset"] = dict.fromkeys(spec.joint_names, 0)
    (desk.folder / "log").write_text(json.dumps(head) + '\n{"capture": "sign shoulder_pan"}\n')
    assert desk.run(main, "zero", "--arm", str(own), "--dry-run", "--from-log", "log").code == 2


def test_a_file_that_was_changed_before_the_servos_failed_is_told(desk: Desk, own: Path) -> None:
    at_hand(desk, Twin.load("koch-v1.1"))

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    desk.monkeypatch.setattr(setup_zero, "write", fail)
    ended = desk.run(main, "zero", "--arm", str(own), *SECONDS, "--yes", "--json")
    assert ended.code == 130
    assert ended.json["written"] is True


def test_a_second_servo_learns_the_truth_beside_its_first(desk: Desk) -> None:
    """Both horns of the shoulder sit elsewhere than the file says, and the second servo faces the other way."""
    truth = load_arm("widowx-250s")
    folder = desk.folder / "mine"
    shutil.copytree(truth.path.parent, folder)
    wrong = (
        (folder / "arm.toml")
        .read_text()
        .replace("second = { id = 3 } ", "second = { id = 3, sign = 1, offset = 0.3 } ")
    )
    (folder / "arm.toml").write_text(wrong)
    twin = Twin.load("widowx-250s", pose="home")
    at_hand(desk, twin)
    ended = desk.run(main, "zero", "--arm", str(folder), *SECONDS, "--yes", "--joints", "shoulder", "elbow")
    assert ended.code == 0, ended.err
    zeroed = load_arm(folder)
    for joint, true in zip(zeroed.servos, truth.servos, strict=True):
        assert (joint.servo_id, joint.sign) == (true.servo_id, true.sign)
        assert joint.offset == pytest.approx(true.offset, abs=0.01)
    text = (folder / "arm.toml").read_text()
    assert "second = { id = 3, sign = -1, offset = " in text
    assert "# facing the first: turns the other way" in text
    for joint, servo in zip(zeroed.servos[-2:], twin.servos[-2:], strict=True):
        want = wanted(joint, zeroed.bus, joint.servo)
        assert [servo.get(name) for name in POSITION_REGISTERS] == [want[name].value for name in POSITION_REGISTERS]
    Arm.open(zeroed, LockstepPort(twin)).prepare()
