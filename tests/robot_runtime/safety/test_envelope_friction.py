"""Friction that a calibration has found lets a sticky joint go faster; whatever it claims, limits hold."""

from pathlib import Path

import numpy as np
import pytest

from robot_runtime.calibrated.friction import KNOWN_SHARE
from robot_runtime.safety.friction import SURE_SHARE, Friction
from robot_runtime.spec import load_arm
from sim.twin.gap import load_gap
from tests.robot_runtime.safety.adversaries import Angles, edited, fly, scales
from tests.robot_runtime.safety.test_envelope_adversaries import check
from tests.robot_runtime.safety.test_envelope_sticking import held_and_let_go

ARM = "open-manipulator-x"
BY_TORQUE = [(ARM, "current"), (ARM, "pwm"), ("xl330-pendulum", "pwm")]
EASY = 'name = "easy"\n[all]\ncoulomb = 0.5\nviscous = 0.5\nload_friction = 0.5\ntorque_constant = 1.15\n'
"""As little friction as was seen, and a strong motor."""


def claimed(name: str) -> Friction:
    """More than anything has."""
    n = len(load_arm(name).joints)
    return Friction((1e3,) * n, (1e3,) * n)


def found(gap: str, share: float) -> Friction:
    """Of what the gap's joints have, this share, beyond the sure part of it."""
    spec, hidden = load_arm(ARM), load_gap(gap)
    sure, joints = Friction.sure(spec), [hidden.joint(name) for name in spec.joint_names]
    dry = (max(share * one.coulomb / SURE_SHARE - 1.0, 0.0) * x for one, x in zip(joints, sure.dry, strict=True))
    viscous = (
        max(share * one.viscous / SURE_SHARE - 1.0, 0.0) * x for one, x in zip(joints, sure.viscous, strict=True)
    )
    return Friction(tuple(dry), tuple(viscous))


@pytest.mark.parametrize("adversary", ["bang", "outwards", "resonant", "pumping"])
@pytest.mark.parametrize(("name", "mode"), BY_TORQUE)
def test_nothing_is_exceeded_whatever_friction_is_claimed(tmp_path: Path, name: str, mode: str, adversary: str) -> None:
    gap = tmp_path / "easy.toml"
    gap.write_text(EASY)
    check(fly(edited(tmp_path, name, mode), adversary, gap=str(gap), cycles=400, friction=claimed(name)))


@pytest.mark.slow
@pytest.mark.parametrize("gap", ["none", "mild", "random:1", "random:3", "random:7"])
@pytest.mark.parametrize("adversary", ["bang", "outwards", "resonant", "small_resonant", "pumping", "useless"])
@pytest.mark.parametrize(("name", "mode"), BY_TORQUE)
def test_nothing_is_exceeded_whatever_friction_is_claimed_for_long(
    tmp_path: Path, name: str, mode: str, adversary: str, gap: str
) -> None:
    check(fly(edited(tmp_path, name, mode), adversary, gap=gap, cycles=1200, seed=5, friction=claimed(name)))


@pytest.mark.parametrize("mode", ["current", "pwm"])
@pytest.mark.parametrize("way", [-1.0, 1.0])
@pytest.mark.parametrize("joint", [0, 1, 2, 3])
@pytest.mark.parametrize("gap", ["none", "random:1"])
def test_what_lets_go_throws_no_joint_either(tmp_path: Path, gap: str, joint: int, way: float, mode: str) -> None:
    """Since it was calibrated, two fifths of the friction have gone."""
    held_and_let_go(tmp_path, gap, joint, way, mode, found(gap, KNOWN_SHARE / 0.6))


def fastest(folder: Path, friction: Friction | None) -> float:
    """Of the base with three times the friction (rad/s), pushed as hard as it may."""
    gap = folder / "sticky.toml"
    gap.write_text('name = "sticky"\n[all]\ncoulomb = 3.0\nviscous = 3.0\n')
    spec, seen = load_arm(ARM), []
    home, width = np.array(spec.poses["home"]), scales(spec)[1]

    def policy(k: int, q: Angles, dq: Angles) -> Angles:
        seen.append(abs(dq[0]))
        wanted = 8.0 * (home - q) - 0.4 * dq  # the others stay
        wanted[0] = width[0]
        return wanted

    check(fly(ARM, "", gap=str(gap), cycles=300, policy=policy, friction=friction))
    return float(max(seen))


def test_a_sticky_joint_goes_faster_where_its_friction_is_known(tmp_path: Path) -> None:
    sure, more = Friction.sure(load_arm(ARM)), KNOWN_SHARE * 3.0 / SURE_SHARE - 1.0
    known = Friction(tuple(more * x for x in sure.dry), tuple(more * x for x in sure.viscous))
    assert fastest(tmp_path, known) > 1.3 * fastest(tmp_path, None)
