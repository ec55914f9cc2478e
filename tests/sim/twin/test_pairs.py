"""Joints that two servos turn, as the shoulder and the elbow of WidowX and ViperX."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robot_runtime.arrays import Floats
from sim.twin import cli
from sim.twin.arm_file import SHIPPED
from sim.twin.drives import Drives
from sim.twin.faults import FaultSpecError
from sim.twin.gap import Gap, load_gap
from sim.twin.packets import instruction_packet
from sim.twin.servo import BOOT_TIME
from sim.twin.servo_data import load_servo
from sim.twin.twin import Twin
from tests.sim.twin.bench import ask, sync_read_packet, sync_write_packet, write_packet
from tests.sim.twin.rigs import NO_PLAY, SMOOTH, bench_arm, run, switch_on, tell

MODEL = "XM430-W350"
FIRST, SECOND = 0, 1
SHOULDER, OTHER = 12, 22  # IDs of the two servos of joint2
POSITION = 3


def bench(
    folder: Path, mode: str, gap: Gap = NO_PLAY, *, second: str = "second = { id = 2 }", **options: float
) -> Drives:
    """Two servos that face one another at one joint."""
    return Drives(bench_arm(folder, MODEL, mode, second=second, **options), gap, 1)  # type: ignore[arg-type]


def two_shouldered(folder: Path) -> str:
    """The open-manipulator-x with a second servo at joint2, whose rotor and gears come beside the first one's."""
    shipped = SHIPPED / "open-manipulator-x"
    toml, mjcf = ((shipped / name).read_text(encoding="utf-8") for name in ("arm.toml", "arm.xml"))
    servo, joint = f'servo = {{ id = {SHOULDER}, model = "{MODEL}" }}\n', '<joint name="joint2" '
    assert servo in toml
    assert joint in mjcf
    pair = f"{servo}second = {{ id = {OTHER} }}\n"
    (folder / "arm.toml").write_text(toml.replace(servo, pair), encoding="utf-8")
    doubled = f'{joint}armature="0.025" damping="0.0564" frictionloss="0.272" '
    (folder / "arm.xml").write_text(mjcf.replace(joint, doubled), encoding="utf-8")
    return str(folder)


def answers(twin: Twin, servo_id: int) -> bool:
    return ask(twin, instruction_packet(servo_id, 0x01)) != b""


# --- mechanics ---


@pytest.mark.parametrize(
    ("second", "sign", "offset"),
    [("second = { id = 2 }", 1, 0.3), ("second = { id = 2, sign = -1, offset = -0.4 }", -1, -0.4)],
)
@pytest.mark.parametrize("gear", [1.0, 2.0])
def test_both_registers_tell_the_joints_angle(
    tmp_path: Path, second: str, sign: int, offset: float, gear: float
) -> None:
    drives = bench(tmp_path, "pwm", second=second, sign=-1, offset=0.3, gear=gear, start=0.25, inertia=1e-3)
    radian = load_servo(MODEL).units["position"]

    def angles() -> Floats:
        turned: Floats = np.array([-1, sign]) * (drives.present_position - 2048) * radian / gear + [0.3, offset]
        return turned

    assert angles() == pytest.approx([0.25, 0.25], abs=radian / gear)
    switch_on(drives)
    drives.goal_pwm[:] = -200, 200 * sign
    tell(drives)
    for _ in range(5):
        run(drives, 0.1)
        assert angles() == pytest.approx(np.full(2, drives.joint_position[0]), abs=radian / gear)
    assert drives.joint_position[0] > 0.4
    assert np.sign(drives.present_velocity).tolist() == [-1, sign]


def test_the_torques_of_both_add_up(tmp_path: Path) -> None:
    speeds = []
    for currents in ((150, 0), (0, -150), (150, -150)):
        drives = bench(tmp_path, "current", SMOOTH, inertia=0.05)
        switch_on(drives)
        drives.goal_current[:] = currents
        tell(drives)
        run(drives, 0.1)
        speeds.append(float(drives.joint_velocity[0]))
    assert speeds[0] == pytest.approx(speeds[1]) != 0.0
    assert speeds[2] == pytest.approx(2 * speeds[0], rel=1e-3)
    single = load_servo(MODEL).motor["torque_constant"] * drives.motor_current[FIRST]
    assert drives.motor_torque == pytest.approx([single, single])


def test_two_that_fight_one_another_move_nothing_and_get_warm_and_rub(tmp_path: Path) -> None:
    drives = bench(tmp_path, "current", start=0.2)
    switch_on(drives, goal_current=800)  # the same current turns two that face one another against one another
    run(drives, 10.0)
    assert drives.joint_position[0] == pytest.approx(0.2, abs=1e-4)
    assert drives.motor_torque.sum() == pytest.approx(0.0)
    assert (drives.present_temperature > 26).all()
    motor = load_servo(MODEL).motor
    rubs = 2 * motor["coulomb_friction"] + motor["load_friction"] * np.abs(drives.motor_torque).sum()
    assert drives.model.dof_frictionloss[0] == pytest.approx(rubs)


def sag(folder: Path, powered: tuple[bool, bool]) -> tuple[float, list[float]]:
    """How far a weight on a level rod pulls the joint off its goal (rad), and what the servos draw (A)."""
    drives = bench(folder, "position", SMOOTH, mass=1.0, length=0.1, start=np.pi / 2)
    switch_on(drives)
    drives.powered[:] = powered
    tell(drives)
    run(drives, 3.0)
    return np.pi / 2 - float(drives.joint_position[0]), drives.motor_current.tolist()


def test_both_hold_a_position_and_one_alone_carries_all_of_it(tmp_path: Path) -> None:
    together, shared = sag(tmp_path, (True, True))
    assert shared[FIRST] == pytest.approx(-shared[SECOND], rel=0.02)
    for powered in ((True, False), (False, True)):
        alone, current = sag(tmp_path, powered)
        assert alone == pytest.approx(2 * together, rel=0.05)
        assert abs(sum(current)) == pytest.approx(2 * shared[FIRST], rel=0.05)
        assert current[powered.index(False)] == 0.0


def test_a_stuck_shaft_of_either_blocks_the_joint(tmp_path: Path) -> None:
    drives = bench(tmp_path, "current")
    switch_on(drives)
    drives.goal_current[:] = 400, -400
    tell(drives)
    drives.stick(FIRST, True)
    drives.stick(SECOND, True)
    drives.stick(FIRST, False)
    run(drives, 0.2)
    assert abs(drives.joint_position[0]) < 1e-3, "the second is stuck still"
    drives.stick(SECOND, False)
    run(drives, 0.2)
    assert drives.joint_position[0] > 0.1


def test_the_gap_of_the_joint_is_that_of_both(tmp_path: Path) -> None:
    gap = replace(NO_PLAY, every=replace(NO_PLAY.every, offset=0.05, torque_constant=0.9, backlash=0.01))
    drives = bench(tmp_path, "pwm", gap, start=0.4)
    seen = np.array([1, -1]) * (drives.present_position - 2048) * load_servo(MODEL).units["position"]
    assert seen == pytest.approx([0.35, 0.35], abs=0.001)
    assert drives.model.nv == 2, "the joint and one play"
    switch_on(drives, goal_pwm=100)
    run(drives, 0.01)
    constant = 0.9 * load_servo(MODEL).motor["torque_constant"]
    assert drives.motor_torque == pytest.approx(constant * drives.motor_current * [1, -1])


def test_the_sensors_of_both_have_noise_of_their_own(tmp_path: Path) -> None:
    drives = bench(tmp_path, "pwm", load_gap("harsh"))
    shown = []
    for _ in range(100):
        drives.step()
        shown.append(drives.present_current.tolist())
    assert abs(np.corrcoef(np.array(shown).T)[0, 1]) < 0.4


# --- on the bus ---


def test_every_servo_is_one_of_its_own_on_the_bus(tmp_path: Path) -> None:
    twin = Twin.load(two_shouldered(tmp_path), pose="home", firmware={OTHER: 45})
    assert [servo.id for servo in twin.servos] == [11, 12, 13, 14, 15, OTHER]
    assert [twin.servos[i].firmware for i in (1, 5)] == [twin.servos[0].firmware, 45]
    assert len(ask(twin, sync_read_packet(132, 4, [SHOULDER, OTHER]))) == 2 * 15
    ask(twin, write_packet(OTHER, 65, b"\1"))
    assert [servo.get("led") for servo in twin.servos] == [0, 0, 0, 0, 0, 1]
    first, second = (twin.servos[i].get("present_position") - 2048 for i in (1, 5))
    assert first == pytest.approx(-second, abs=1) != 0


def test_both_carry_the_arm_to_a_goal_and_the_second_holds_it_when_the_first_dies(tmp_path: Path) -> None:
    twin = Twin.load(two_shouldered(tmp_path), pose="home")
    for servo in twin.servos:
        ask(twin, write_packet(servo.id, 11, bytes([POSITION])))
        ask(twin, write_packet(servo.id, 64, b"\1"))
    start = twin.servos[1].get("present_position")
    goals = {SHOULDER: struct.pack("<i", start + 100), OTHER: struct.pack("<i", 4096 - start - 100)}
    ask(twin, sync_write_packet(116, goals))
    twin.advance(twin.time + 1.0)
    there = twin.servos[1].get("present_position")
    assert there == pytest.approx(start + 100, abs=20)
    twin.inject(f"servo-dead:servo={SHOULDER}")
    twin.advance(twin.time + 1.0)
    assert not answers(twin, SHOULDER)
    assert 4096 - twin.servos[5].get("present_position") == pytest.approx(there, abs=40)


@pytest.mark.parametrize(("servo", "hit"), [("12", 1), ("joint2", 1), ("22", 5), ("joint2/2", 5)])
def test_a_fault_of_a_servo_strikes_that_one_alone(tmp_path: Path, servo: str, hit: int) -> None:
    struck = [i == hit for i in range(6)]
    twin = Twin.load(two_shouldered(tmp_path))
    before = twin.plant.present_position
    twin.inject(f"encoder-jump:servo={servo}")
    assert (twin.plant.present_position != before).tolist() == struck
    twin.inject(f"servo-silent:servo={servo},for=0.2")
    assert [not answers(twin, servo.id) for servo in twin.servos] == struck
    twin.inject(f"hot:servo={servo}")
    twin.advance(twin.time + 0.3)
    assert [servo.get("hardware_error_status") for servo in twin.servos] == [0x04 * hurt for hurt in struck]
    twin.inject(f"overload:servo={servo}")
    assert [servo.shut_down for servo in twin.servos] == struck
    twin.inject(f"servo-dead:servo={servo}")
    assert (~twin.plant.powered).tolist() == struck


def test_a_hand_turns_the_joint_whichever_servo_names_it(tmp_path: Path) -> None:
    turned = []
    for servo in ("joint2", "joint2/2"):
        twin = Twin.load(two_shouldered(tmp_path))
        before = twin.drives.joint_position
        twin.inject(f"hand:servo={servo},for=1,rad=0.4")
        twin.advance(1.0)
        turned.append((twin.drives.joint_position - before)[1])
    assert turned == pytest.approx([0.4, 0.4], abs=0.03)


def test_a_second_servo_that_is_not_there_is_told_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(FaultSpecError, match=r"no servo 'joint1/2'; there are 11 \(joint1\), .*, 22 \(joint2/2\)"):
        Twin.load(two_shouldered(tmp_path), faults=["servo-dead:servo=joint1/2"])


def test_new_servos_of_a_pair_are_plugged_in_one_after_the_other(tmp_path: Path) -> None:
    twin = Twin.load(two_shouldered(tmp_path), factory=True, plugs={"joint2": 0.0, "joint2/2": 0.5})
    assert answers(twin, 1)
    ask(twin, write_packet(1, 7, bytes([SHOULDER])), wait=0.1)
    assert answers(twin, SHOULDER)
    assert not answers(twin, 1)
    twin.advance(0.5 + BOOT_TIME + 0.01)
    assert answers(twin, 1), "the second one"
    with pytest.raises(ValueError, match="no joint 'joint1/2' to plug in; there are joint1, .*, joint2/2"):
        Twin.load(two_shouldered(tmp_path), plugs={"joint1/2": 0.0})


def test_the_command_lists_and_knows_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = cli._parser().parse_args(["--arm", two_shouldered(tmp_path), "--json", "--firmware", f"{OTHER}=45"])
    cli._announce(options, cli._twin(options), "port")
    told = json.loads(capsys.readouterr().out)["servos"]
    assert [(servo["joint"], servo["id"], servo["firmware"]) for servo in told][1::4] == [
        ("joint2", SHOULDER, load_servo(MODEL).newest_firmware),
        ("joint2/2", OTHER, 45),
    ]
