"""Adversaries on the twin, without mechanical stops or a table: what stops the arm is the envelope alone.

Measured position is the encoder's, without its noise: what a gap calls an offset is what no encoder shows.
"""

from pathlib import Path

import pytest

from robot_runtime.spec import load_arm
from sim.twin.gap import SHIPPED
from tests.robot_runtime.safety.adversaries import ADVERSARIES, Worst, edited, fly

OUTSIDE = 0.02  # rad, measured position
FASTER = 0.05  # share of the limit, true speed (see SPEED_MEAN)
EXACT = 1e-9  # share of the limit, or rad: commands

ARMS = ("open-manipulator-x", "koch-v1.1", "xl330-pendulum")
MODES = ("", "current", "pwm", "velocity", "position")
"""Of all joints; "": as the arm ships."""

TORQUE_LIKE = ("current", "pwm")
PAIRED = "widowx-250s"
GAPS = ("none", "mild", "random:3", "random:7")


def rig(folder: Path, name: str, mode: str) -> str | Path:
    servos = [joint.servo for joint in load_arm(name).joints]
    if mode and not all(mode in s.modes and not (mode == "current" and s.senses_supply) for s in servos):
        pytest.skip(f"{name} has servos without that mode, or refused in it")
    return edited(folder, name, mode) if mode else name


def check(worst: Worst) -> None:
    for what, value in worst.command.items():
        assert value <= EXACT, (what, worst)
    assert worst.position <= OUTSIDE, worst
    assert worst.speed <= FASTER, worst


@pytest.mark.parametrize("adversary", ["bang", "outwards", "useless"])
@pytest.mark.parametrize("gap", ["none", "random:3"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["open-manipulator-x", "koch-v1.1"])
def test_nothing_is_exceeded(tmp_path: Path, name: str, mode: str, gap: str, adversary: str) -> None:
    check(fly(rig(tmp_path, name, mode), adversary, gap=gap, cycles=280))


@pytest.mark.parametrize("adversary", sorted(ADVERSARIES))
def test_nothing_is_exceeded_on_the_smallest_rig(adversary: str) -> None:
    check(fly("xl330-pendulum", adversary, gap="mild", cycles=400))


@pytest.mark.parametrize(("mode", "adversary"), [("", "outwards"), ("velocity", "bang"), ("pwm", "useless")])
def test_nothing_is_exceeded_where_two_servos_turn_a_joint(tmp_path: Path, mode: str, adversary: str) -> None:
    check(fly(rig(tmp_path, PAIRED, mode), adversary, gap="mild", cycles=280))


def test_a_weak_arm_that_hangs_from_its_commands_touches_nothing() -> None:
    worst = fly("koch-v1.1", "uniform", gap="random:21", cycles=450, seed=5)
    check(worst)
    assert worst.clearance > 0.0, worst


@pytest.mark.parametrize(
    ("name", "gap", "adversary"),
    [("koch-v1.1", "random:21", "resonant"), ("xl330-pendulum", "random:25", "outwards")],
)
def test_a_joint_that_comes_faster_than_its_servo_brakes(tmp_path: Path, name: str, gap: str, adversary: str) -> None:
    check(fly(rig(tmp_path, name, "position"), adversary, gap=gap, cycles=900, seed=5))


@pytest.mark.parametrize("name", ["open-manipulator-x", "xl330-pendulum"])
def test_nothing_is_exceeded_on_a_tired_arm(name: str) -> None:
    check(fly(name, "outwards", gap="harsh", cycles=500))


def quick_adapter(folder: Path) -> str:
    """The harsh gap behind an adapter whose latency timer was set, as preflight demands."""
    file = folder / "harsh-quick.toml"
    file.write_text((SHIPPED / "harsh.toml").read_text().replace("latency_timer = 0.016", "latency_timer = 0.001"))
    return str(file)


@pytest.mark.slow
@pytest.mark.parametrize("adversary", sorted(ADVERSARIES))
@pytest.mark.parametrize("gap", [*GAPS, *(f"random:{seed}" for seed in range(20, 26))])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ARMS)
def test_nothing_is_exceeded_for_long(tmp_path: Path, name: str, mode: str, gap: str, adversary: str) -> None:
    worst = fly(rig(tmp_path, name, mode), adversary, gap=gap, cycles=1200, seed=5)
    check(worst)
    assert worst.clearance > 0.0, worst


@pytest.mark.slow
@pytest.mark.parametrize("adversary", sorted(ADVERSARIES))
@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("mode", ["", "velocity", "pwm"])
def test_nothing_is_exceeded_for_long_where_two_servos_turn_a_joint(
    tmp_path: Path, mode: str, gap: str, adversary: str
) -> None:
    worst = fly(rig(tmp_path, PAIRED, mode), adversary, gap=gap, cycles=1200, seed=5)
    check(worst)
    assert worst.clearance > 0.0, worst


@pytest.mark.slow
@pytest.mark.parametrize("adversary", sorted(ADVERSARIES))
@pytest.mark.parametrize("mode", TORQUE_LIKE)
@pytest.mark.parametrize("name", ARMS)
def test_nothing_is_exceeded_on_a_tired_arm_in_torque_modes(
    tmp_path: Path, name: str, mode: str, adversary: str
) -> None:
    path = rig(tmp_path, name, mode)
    for gap in ("harsh", quick_adapter(tmp_path)):
        check(fly(path, adversary, gap=gap, cycles=1500, seed=6))
