"""From a log of the twin to a verdict, and from a verdict to a check on a fresh log: one joint, for speed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.judging import drift
from calibration.judging.acceptance import advice
from calibration.judging.drift import Verdict, check
from calibration.logs.clean import clean
from calibration.logs.load import Loaded
from calibration.pipeline import Result, calibrate
from robot_runtime.calibrated.file import Calibration
from robot_runtime.calibrated.maps import ResidualMaps
from robot_runtime.spec import load_arm
from tests.calibration.recordings import record

pytestmark = pytest.mark.slow  # whole fits

NAME = "xl330-pendulum"
GAP = """
name = "hidden"
command_delay = 0.010
[all]
coulomb = 1.6
torque_constant = 0.9
backlash = 0.002
offset = {offset}
"""


def loaded(folder: Path, seconds: float, seed: int, offset: float = 0.02) -> list[Loaded]:
    gap = folder / f"gap-{seed}.toml"
    gap.write_text(GAP.format(offset=offset))
    log, _ = record(NAME, str(gap), ("pendulum",), seconds, seed=seed)
    return [Loaded(clean(replace(log, name=f"log {seed}"), load_arm(NAME).joints), None, "", None)]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return calibrate(loaded(tmp_path_factory.mktemp("logs"), 20.0, 1), load_arm(NAME), name="mine", threads=1)


def test_it_is_accepted_on_what_was_held_out(result: Result) -> None:
    assert result.split.name == "block 5"
    assert result.accepted, advice(result.calibration.acceptance)
    rollouts = result.calibration.acceptance[0]
    assert rollouts.name == "rollouts"
    assert rollouts.value < 0.3
    delay = result.calibration.physics["delay"]
    assert delay.low < 0.012 < delay.high


def test_what_ships_is_what_was_judged(result: Result, tmp_path: Path) -> None:
    result.calibration.write(tmp_path / "arm.cal")
    read = Calibration.read(tmp_path / "arm.cal")
    assert read.accepted
    assert set(read.maps) == {"observation", "torque"}
    assert read.identity.name == "mine"
    ResidualMaps(load_arm(NAME), read, 0.005)


def test_arms_that_the_data_allow_stand_around_what_was_found(result: Result, tmp_path: Path) -> None:
    result.calibration.write(tmp_path / "arm.cal")
    read = Calibration.read(tmp_path / "arm.cal")
    assert len(read.alike) == 32
    for values, (label, number) in zip(np.array(read.alike).T, read.physics.items(), strict=True):
        assert number.low <= np.median(values) <= number.high, label
        scale = np.log if number.low > 0.0 else np.asarray  # what is positive is uncertain by a factor
        low, high = scale([number.low, number.high])
        assert scale(values).std() == pytest.approx((high - low) / 3.92, rel=0.4), label
        assert values.min() < number.value < values.max(), label


def test_a_fresh_log_of_the_same_arm_holds(result: Result, tmp_path: Path) -> None:
    found = check(result.calibration, loaded(tmp_path, 8.0, 2), load_arm(NAME), threads=1)
    assert found.verdict is Verdict.HOLDS
    assert not found.changes


def test_a_horn_that_slipped_is_found(result: Result, tmp_path: Path) -> None:
    found = check(result.calibration, loaded(tmp_path, 8.0, 3, offset=0.14), load_arm(NAME), threads=1)
    assert found.verdict is not Verdict.HOLDS
    (change,) = [c for c in found.changes if c.label == "pendulum.offset"]
    assert change.now - change.before == pytest.approx(0.12, abs=0.02)


def test_errors_that_no_number_explains_are_drift(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "WORSE", 0.01)  # any error is larger than on the day it was made
    monkeypatch.setattr(drift, "GOOD", 1e-6)
    found = check(result.calibration, loaded(tmp_path, 8.0, 2), load_arm(NAME), threads=1)
    assert not found.changes
    assert found.verdict is Verdict.DRIFTED


def test_numbers_of_another_arm_are_refused(result: Result, tmp_path: Path) -> None:
    logs = loaded(tmp_path, 20.0, 4)
    logs[0] = replace(logs[0], log=replace(logs[0].log, q=logs[0].log.q * 0.35, dq=logs[0].log.dq * 0.35))
    other = calibrate(logs, load_arm(NAME), threads=1)
    assert not other.accepted
    assert advice(other.calibration.acceptance)
    assert np.isfinite([row.value for row in other.calibration.acceptance]).all()
