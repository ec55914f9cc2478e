"""What the twin's arm does when the computer dies: what docs/safety.md says of each mode, and how fast."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.robot_runtime.arm.twins import start, variant
from tests.robot_runtime.safety.test_stopping import Flown

STRETCHED = (0.0, 0.3, -0.3, 0.3, 0.0)  # rad: gravity pulls at joint2 with all it has


def silence(mode: str, tmp_path: Path) -> tuple[float, float]:
    """How far (rad) and how fast (rad/s) the arm goes in the 2 s after the last packet."""
    file = variant(tmp_path, "open-manipulator-x", (r'mode = "current"(?!_)', f'mode = "{mode}"'))
    flown = Flown(start(file))
    flown.go(STRETCHED)
    for _ in range(100):
        flown.cycle()
    drives, port = flown.rig.drives, flown.rig.port
    stood, end, fastest = flown.rig.truth, port.now() + 2.0, 0.0
    while port.now() < end:
        port.sleep_until(port.now() + 0.005)
        fastest = max(fastest, float(np.abs(drives.joint_velocity).max()))
    return float(np.abs(flown.rig.truth - stood).max()), fastest


def test_in_current_mode_the_arm_falls_limp(tmp_path: Path) -> None:
    far, fastest = silence("current", tmp_path)
    assert far > 0.3
    assert fastest > 2.0


def test_in_pwm_mode_it_sinks_slowly(tmp_path: Path) -> None:
    far, fastest = silence("pwm", tmp_path)
    assert far > 0.3  # to the table too, but
    assert fastest < 0.5


@pytest.mark.parametrize(("mode", "sag"), [("velocity", 0.01), ("position", 0.05), ("current_position", 0.1)])
def test_in_the_other_modes_it_stays(mode: str, sag: float, tmp_path: Path) -> None:
    far, _ = silence(mode, tmp_path)
    assert far < sag
