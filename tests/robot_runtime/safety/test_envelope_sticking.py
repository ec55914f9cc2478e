"""A joint that sticks is freed by the envelope's own bound, and what lets go of a joint does not throw it."""

from pathlib import Path

import numpy as np
import pytest

from robot_runtime.safety import barrier
from robot_runtime.safety.friction import Friction
from robot_runtime.spec import load_arm
from tests.robot_runtime.arm.twins import TwinArm
from tests.robot_runtime.safety.adversaries import Angles, edited, fly, scales
from tests.robot_runtime.safety.test_envelope_adversaries import check

ARM = "open-manipulator-x"
SWING = 400  # cycles one way


def travelled(folder: Path) -> float:
    """How far joint2 of an arm gets whose gears rub as much as any that was seen (rad), pushed both ways in turn."""
    gap = folder / "sticky.toml"
    gap.write_text(
        'name = "sticky"\npayload = 0.03\n[all]\ncoulomb = 3.0\nload_friction = 2.0\ntorque_constant = 0.9\n'
    )
    spec = load_arm(ARM)
    home, width = np.array(spec.poses["home"]), scales(spec)[1]
    seen = []

    def policy(k: int, q: Angles, dq: Angles) -> Angles:
        seen.append(q[1])
        wanted = 8.0 * (home - q) - 0.4 * dq  # the others stay
        wanted[1] = width[1] * (1.0 if k // SWING % 2 else -1.0)
        return wanted

    check(fly(ARM, "", gap=str(gap), cycles=3 * SWING, policy=policy))
    late = np.array(seen[SWING:])  # what a fall out of the start pose moved does not count
    return float(late.max() - late.min())


def test_a_joint_that_sticks_is_freed(tmp_path: Path) -> None:
    assert travelled(tmp_path) > 1.0


def test_it_is_what_a_joint_has_shown_that_frees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barrier, "SHOWN_SHARE", 0.0)
    assert travelled(tmp_path) < 0.01


@pytest.mark.parametrize("mode", ["current", "pwm"])
@pytest.mark.parametrize("way", [-1.0, 1.0])
@pytest.mark.parametrize("joint", [0, 1, 2, 3])
@pytest.mark.parametrize("gap", ["none", "random:1"])
def test_what_lets_go_throws_no_joint(tmp_path: Path, gap: str, joint: int, way: float, mode: str) -> None:
    held_and_let_go(tmp_path, gap, joint, way, mode)


def held_and_let_go(
    folder: Path, gap: str, joint: int, way: float, mode: str, friction: Friction | None = None
) -> None:
    """Every joint is held by 0.9 N·m wherever it comes, pushed at all the torque there is, and let go of at once."""
    path = edited(folder, ARM, mode)
    width = scales(load_arm(path))[1]
    free: list[float] = []
    held: list[float] = []

    def happens(k: int, rig: TwinArm) -> None:
        name, physics = rig.arm.spec.joint_names[joint], rig.drives._physics
        dof, dry = int(rig.drives.model.joint(name).dofadr[0]), physics._dry_friction
        if not free:
            free.append(float(dry[dof]))
        dry[dof] = free[0] + (0.9 if k % 150 < 110 else 0.0)
        if 60 < k % 150 < 110:
            held.append(abs(float(rig.drives.joint_velocity[joint])))

    def policy(k: int, q: Angles, dq: Angles) -> Angles:
        wanted = np.zeros(len(width))
        wanted[joint] = way * width[joint] * (1.0 if k % 450 < 300 else -1.0)
        return wanted

    check(fly(path, "", gap=gap, cycles=900, policy=policy, happens=happens, friction=friction))
    if friction is None:
        assert np.mean(held) < 1.0  # of 3 rad/s: it did hold them
