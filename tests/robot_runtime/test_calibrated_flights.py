"""Whole flights with a calibration, on the lock-step twin in virtual time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robot_runtime.bus import Bus
from robot_runtime.calibrated.file import Calibration
from robot_runtime.cli.replay import replay_flight
from robot_runtime.flight.contents import attach_arm, attach_calibration, attach_policy
from robot_runtime.flight.ports import RecordingPort
from robot_runtime.flight.reader import Flight, read_flight
from robot_runtime.flight.recorder import Recorder
from robot_runtime.flying import Inputs, Phase, SourceFlag
from robot_runtime.safety.fault_kind import Ending
from robot_runtime.session import Orders, fly, layout_of
from robot_runtime.setup.unboxed import set_up_unboxed
from robot_runtime.spec import load_arm
from robot_runtime.verdict import Verdict
from sim.twin import LockstepPort, Twin
from tests.robot_runtime.calibrated.made import calibration, healthy, mapped, nervous, observation_map, saying_nan
from tests.robot_runtime.flights import swing

OFFSET = 0.05  # rad


class Nobody:
    """Asks for nothing."""

    def begin(self, now: float) -> None:
        pass

    def sample(self, inputs: Inputs, now: float) -> None:
        pass


def recorded(
    folder: Path,
    name: str,
    given: Calibration | None,
    *,
    gap: str | None = None,
    force: bool = False,
    last: float = 1.5,
) -> tuple[Verdict, Flight]:
    """Every joint swings about home, with a period of 1.5 s."""
    spec = load_arm(name)
    policy = swing(folder, spec)
    twin = Twin.load(str(spec.path), gap=gap)
    set_up_unboxed(Bus(LockstepPort(twin)), spec)
    orders = Orders(200.0, duration=last, force=force, hold_for=0.5)
    path = folder / f"{len(list(folder.iterdir()))}.mcap"
    with Recorder(path, layout_of(spec, policy.contract), waits=True) as recorder:
        attach_arm(recorder, spec)
        attach_policy(recorder, policy.network.file.path, policy.contract, orders.as_json())
        if given is not None:
            file = folder / "given.cal"
            given = given.write(file)
            attach_calibration(recorder, file, given)
        port = RecordingPort(LockstepPort(twin), recorder)
        verdict = fly(spec, policy, port, orders, Nobody(), recorder, calibration=given)
        recorder.metadata("verdict", verdict.as_json())
    return verdict, read_flight(path)


def test_a_healthy_arms_maps_change_nothing_and_fly_again_bit_for_bit(tmp_path: Path) -> None:
    """Torque joints."""
    spec = load_arm("open-manipulator-x")
    verdict, flight = recorded(tmp_path, spec.name, healthy(spec), last=0.8)
    assert verdict.ending is Ending.COMPLETED
    run = flight["phase"] == Phase.RUN
    np.testing.assert_allclose(flight["mapped_q"][run], flight["q"][run], atol=3e-7)
    np.testing.assert_allclose(flight["intent"][run][:, :4], flight["unmapped"][run][:, :4], atol=3e-7)
    assert verdict.figures["calibration"]["torque"]["cycles"] == run.sum() > 100
    assert flight.metadata["calibration"]["digest"] == Calibration.read(tmp_path / "given.cal").digest
    result = replay_flight(flight)
    assert result.identical, result


def test_an_offset_is_taken_off_on_both_sides(tmp_path: Path) -> None:
    """An arm whose joints stand further than their encoders say goes where the policy meant it to go."""
    spec = load_arm("koch-v1.1")
    gap = tmp_path / "gap.toml"
    gap.write_text("".join(f"[joint.{j.name}]\noffset = {OFFSET}\n" for j in mapped(spec, "goal")))
    verdict, flight = recorded(tmp_path, spec.name, healthy(spec, OFFSET), gap=str(gap))
    assert verdict.ending is Ending.COMPLETED, verdict
    run = flight["phase"] == Phase.RUN
    np.testing.assert_allclose((flight["mapped_q"] - flight["q"])[run][:, :5], OFFSET, atol=3e-7)
    np.testing.assert_allclose((flight["intent"] - flight["unmapped"])[run][:, :5], -OFFSET, atol=3e-7)

    truth = (flight["q"] + OFFSET)[run][:, :5]
    assert abs(np.mean(truth - flight["unmapped"][run][:, :5])) < 0.5 * OFFSET  # what is left is the servos' own sag


def test_the_guard_ends_a_flight_that_leaves_the_data(tmp_path: Path) -> None:
    spec = load_arm("xl330-pendulum")
    given = calibration(spec, nervous(observation_map(mapped(spec, "observation")), 30.0))
    verdict, flight = recorded(tmp_path, spec.name, given)
    assert verdict.ending is Ending.POLICY
    (fault,) = [f for f in verdict.faults if f.kind.name == "out-of-distribution"]
    assert "outside what the calibration knows for 0.2" in fault.text
    flags = (flight["source_flags"] & SourceFlag.OUT_OF_DISTRIBUTION) > 0
    first = flight["read"][np.flatnonzero(flags)[0]]
    assert fault.time - first <= fault.kind.bound.at(0.005, 0.0) + 1e-9
    assert verdict.figures["calibration"]["observation"]["outside"] == flags.sum()


@pytest.mark.parametrize(
    ("name", "kind"), [("open-manipulator-x", "observation"), ("open-manipulator-x", "torque"), ("koch-v1.1", "goal")]
)
def test_a_map_that_says_no_number_is_named_and_the_policy_is_not(tmp_path: Path, name: str, kind: str) -> None:
    verdict, flight = recorded(tmp_path, name, saying_nan(healthy(load_arm(name)), kind))
    assert verdict.ending is Ending.POLICY
    assert [f.kind.name for f in verdict.faults] == ["map-not-finite"]
    assert f"the calibration's {kind} map said NaN or infinity" in verdict.text
    assert np.isfinite(flight["command"][:-1]).all()  # in the last cycle it lets go
    (fault,) = verdict.faults
    begin = flight["read"][np.flatnonzero(flight["source_flags"])[0]]
    assert fault.time - begin <= fault.kind.bound.at(0.005, 0.0) + 1e-9


def test_another_arms_calibration_does_not_fly(tmp_path: Path) -> None:
    spec = load_arm("xl330-pendulum")
    given = healthy(spec)
    other = replace(given, identity=replace(given.identity, mjcf_digest="1" * 64))
    verdict, flight = recorded(tmp_path, spec.name, other)
    assert verdict.ending is Ending.PREFLIGHT
    assert "calibration: arm: simulator model" in verdict.text
    assert len(flight) == 0


def test_a_forced_flight_says_so(tmp_path: Path) -> None:
    spec = load_arm("xl330-pendulum")
    given = calibration(spec, observation_map(mapped(spec, "observation")), accepted=False)
    verdict, flight = recorded(tmp_path, spec.name, given, force=True, last=0.3)
    assert verdict.ending is Ending.COMPLETED
    assert [e.text for e in flight.events if "held back: rollout (held-out log) 0.9 (--force)" in e.text]
    assert replay_flight(flight).identical
