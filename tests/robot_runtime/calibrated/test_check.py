"""Which calibration may fly which arm: the preflight's rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from calibration.excitation.tracking import with_gains
from robot_runtime.calibrated.check import checks_of
from robot_runtime.calibrated.file import Calibration
from robot_runtime.calibrated.identity import Identity, gains_of
from robot_runtime.preflight.table import Check, passed
from robot_runtime.spec import load_arm
from tests.robot_runtime.arm.twins import PERIOD, TwinArm, start
from tests.robot_runtime.calibrated.made import healthy, of_joint

ARM = "koch-v1.1"


@pytest.fixture(scope="module")
def twin() -> TwinArm:
    found = start(ARM)
    found.arm.prepare()
    found.arm.read()
    return found


@pytest.fixture(scope="module")
def made(twin: TwinArm) -> Calibration:
    return replace(healthy(load_arm(ARM)), identity=Identity.of_arm(twin.arm, name="left", adapter="FT1"))


def rows(twin: TwinArm, given: Calibration, adapter: str = "FT1", *, force: bool = False) -> list[Check]:
    return list(checks_of(given, PERIOD, adapter=adapter, force=force)(twin.arm))


def test_the_arm_that_was_calibrated_passes(twin: TwinArm, made: Calibration) -> None:
    (row,) = rows(twin, made)
    assert row.ok is True
    assert "left, 2025-06-01T10:15:00Z, observation, goal" in row.found


def test_an_identity_is_what_was_written_of_it(made: Calibration) -> None:
    assert Identity.from_json(made.identity.as_json()) == made.identity


def test_gains_that_a_recording_left_in_a_servo_are_not_those_that_it_will_fly_with(
    twin: TwinArm, made: Calibration
) -> None:
    servo = twin.arm.servos[0]
    register = next(name for name in gains_of(servo.joint) if name not in servo.joint.gains)
    twin.arm.bus.write(servo.joint.servo_id, servo.model.register(register), 77)
    (row,) = rows(twin, made)
    assert row.ok is True
    twin.arm.prepare()
    assert twin.arm.bus.read(servo.joint.servo_id, servo.model.register(register)) == servo.joint.gain(register)


def test_an_arm_file_that_was_given_other_gains_since_is_another_arm(twin: TwinArm, made: Calibration) -> None:
    stiffer = with_gains(load_arm(ARM), {"shoulder_lift": {"position_p_gain": 1280}})
    row = rows(twin, replace(made, identity=made.identity.with_gains_of(stiffer)))[0]
    assert (row.ok, row.name) == (False, "calibration: arm")
    assert row.found == "shoulder_lift: gains {'position_p_gain': 640}"
    assert row.wanted == "shoulder_lift: gains {'position_p_gain': 1280}"


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"mode": "current"}, "mode position"),
        ({"firmware": 1}, "firmware "),
        ({"servo": "MX-28"}, "servo XL"),
        ({"servo_id": 9}, "servo id "),
        ({"gains": {"position_p_gain": 1}}, "gains "),
        ({"sign": -1, "offset": 1.0}, "sign "),
        ({"homing_offset": 12}, "homing offset "),
    ],
)
def test_another_joint_is_another_arm(twin: TwinArm, made: Calibration, changed: dict[str, object], found: str) -> None:
    first = made.identity.joints[0]
    changed = {k: -first.sign if k == "sign" else v for k, v in changed.items()}
    (row,) = rows(twin, replace(made, identity=of_joint(made.identity, first.name, **changed)))
    assert row.ok is False
    assert f"{first.name}: {found}" in row.found
    assert "--force" in row.advice


def test_all_differences_are_told_at_once(twin: TwinArm, made: Calibration) -> None:
    other = replace(made.identity, mjcf_digest="0" * 64, spec="so-100")
    other = of_joint(other, made.identity.joints[2].name, firmware=1)
    found = rows(twin, replace(made, identity=other, accepted=False), adapter="")
    arm, acceptance = found
    for what in ("arm koch-v1.1", "USB adapter no serial number", "simulator model", "firmware"):
        assert what in arm.found
    assert "so-100" in arm.wanted
    assert acceptance.name == "calibration: acceptance"
    assert not passed(found)


def test_with_force_it_is_said_and_flown(twin: TwinArm, made: Calibration) -> None:
    other = replace(made, identity=replace(made.identity, spec="so-100"), accepted=False)
    found = rows(twin, other, force=True)
    assert [row.ok for row in found] == [None, None]
    assert all("--force" in row.found for row in found)


def test_firmware_that_nobody_knows_is_not_compared(twin: TwinArm) -> None:
    assert passed(rows(twin, healthy(load_arm(ARM)), adapter=""))


def test_other_volts_and_heat_are_a_word_of_warning(twin: TwinArm, made: Calibration) -> None:
    found = rows(twin, replace(made, volts=(4.0, 5.5), celsius=(50.0, 60.0)))
    assert [(row.name, row.ok) for row in found[1:]] == [("calibration: supply", None), ("calibration: heat", None)]
    assert "4 to 5.5 V" in found[1].wanted


def test_maps_that_cannot_run_are_refused_whatever_is_forced(twin: TwinArm, made: Calibration) -> None:
    found = list(checks_of(made, 0.004, adapter="FT1", force=True)(twin.arm))
    assert found[-1].ok is False
    assert "--rate 200" in found[-1].found


def test_accepted_is_what_its_rows_say(twin: TwinArm, made: Calibration) -> None:
    failed = tuple(replace(row, passed=False) for row in made.acceptance)
    (row,) = rows(twin, replace(made, acceptance=failed))
    assert row.ok is False
    assert "held back: rollout" in row.found
    (row,) = rows(twin, replace(made, acceptance=()))
    assert "it was never judged" in row.found
