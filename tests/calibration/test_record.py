"""Recordings on the lock-step twin: what is in them, how they end, and that interrupted ones go on without loss."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.errors import CalibrationError
from calibration.excitation import segments_of
from calibration.excitation.rehearsal import noticed
from calibration.excitation.spans import INDEX
from calibration.logs.clean import clean
from calibration.logs.ingest import flight_log
from calibration.recording.record import RECOVER, Flown, Hooks, Recording, record_on_twin
from robot_runtime.calibrated.identity import gains_of
from robot_runtime.flight.reader import read_flight
from robot_runtime.flying import Inputs, Phase, Request
from robot_runtime.safety.fault_kind import Ending
from robot_runtime.spec import ArmSpec, load_arm
from tests.calibration.excitations import small

RIG, KOCH, OMX = "xl330-pendulum", "koch-v1.1", "open-manipulator-x"
JOINTS = {RIG: ("pendulum",), KOCH: ("shoulder_pan", "wrist_flex"), OMX: ("joint1", "joint4")}


class CtrlC:
    """Somebody who asks to stop, so long after it was first asked."""

    def __init__(self, after: float) -> None:
        self._after, self._since = after, np.inf

    def sample(self, inputs: Inputs, now: float) -> None:
        self._since = min(self._since, now)
        if now - self._since > self._after:
            inputs.request |= int(Request.CTRL_C)


@pytest.mark.parametrize("name", [RIG, KOCH, OMX])
def test_a_recording_holds_what_a_fit_needs(tmp_path: Path, name: str) -> None:
    """In torque, position and PWM mode: followed, unchanged by the envelope, and all quantities are there."""
    spec = load_arm(name)
    recording = record_on_twin(spec, "mild", small(spec, JOINTS[name]), tmp_path)
    assert recording.complete
    assert [v.ending for v in recording.verdicts] == [Ending.COMPLETED]
    flight = read_flight(recording.flights[0])
    spans = segments_of(flight)
    assert [(s.name, s.kind, s.whole) for s in spans] == [("sweep-1", "sweep", True), ("chirp-2", "chirp", True)]
    rows = (flight["begin"] >= spans[0].begin) & (flight["begin"] <= spans[-1].end) & (flight["phase"] == Phase.RUN)
    changed = np.abs(flight["command"][rows] - flight["intent"][rows]) > noticed(spec)
    assert changed.mean() < 0.01
    moved = [spec.joint_names.index(joint) for joint in JOINTS[name]]
    error = np.abs(flight["q"][rows] - flight["target"][rows])[:, moved]
    assert error.max() < 0.15
    assert np.all(np.ptp(flight["q"][rows][:, moved], axis=0) > 0.05)
    log = clean(flight_log(recording.flights[0], spec), spec.joints)
    assert log.joints == spec.joint_names
    for quantity in ("q", "dq", "command", "current", "volts", "temperature"):
        assert np.isfinite(getattr(log, quantity)[rows]).all(), quantity
    assert np.all(np.diff(log.time) > 0)
    assert np.all(log.sent[rows] >= flight["begin"][rows])
    about = flight.metadata["recording"]
    assert json.loads(about["gains"])[JOINTS[name][0]] == gains_of(spec.joints[moved[0]])
    assert about["gap"] == "mild"
    assert "identity" in flight.metadata


def test_samples_are_as_regular_as_the_requests_and_not_as_the_replies(tmp_path: Path) -> None:
    """Replies are up to 2 ms late, each by another time: in the log angles are where the joint was at that moment, but
    for what is the same for all.
    """
    spec = load_arm(RIG)
    gap = tmp_path / "late.toml"
    gap.write_text('name = "late"\n[bus]\nreply_jitter = 0.002\n')
    recording = record_on_twin(spec, str(gap), small(spec, ("pendulum",)), tmp_path / "recording")
    flight, log = read_flight(recording.flights[0]), flight_log(recording.flights[0], spec)
    run = flight["phase"] == Phase.RUN
    heard = flight["stamp"].max(axis=1)
    assert np.ptp((heard - flight["begin"])[run]) > 1.5e-3
    assert np.ptp((log.time - flight["begin"])[run]) < 1e-6
    assert np.median((log.time - heard)[run]) == pytest.approx(0.0, abs=2e-4)


def test_commands_of_torque_joints_are_logged_as_sent(tmp_path: Path) -> None:
    """The duty in the log is the one that the servo got: its motor's own, at the same moment."""
    spec = load_arm(RIG)
    flight = read_flight(record_on_twin(spec, None, small(spec, ("pendulum",)), tmp_path).flights[0])
    run = flight["phase"] == Phase.RUN
    assert np.abs(flight["command"][run]).max() <= 1.0
    ticks = flight["command"][run] / spec.joints[0].servo.units["pwm"].scale
    assert np.abs(flight["command"][run] - flight["intent"][run]).max() < 1e-9
    assert np.ptp(ticks) > 20


def test_what_was_interrupted_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    spec = load_arm(RIG)
    excitation = small(spec, ("pendulum",), ("sweep", "cruise", "chirp"))
    first = record_on_twin(spec, None, excitation, tmp_path, hooks=Hooks(inputs=CtrlC(5.0)))
    assert first.verdicts[0].ending is Ending.ASKED
    assert first.done == ("sweep-1",)
    cut = segments_of(read_flight(first.flights[0]))
    assert [(s.name, s.whole) for s in cut] == [("sweep-1", True), ("cruise-2", False)]
    second = record_on_twin(spec, None, excitation, tmp_path)
    assert second.complete
    assert [s.name for s in segments_of(read_flight(second.flights[1]))] == ["cruise-2", "chirp-3"]
    assert json.loads((tmp_path / INDEX).read_text())["missing"] == []
    again = record_on_twin(spec, None, excitation, tmp_path)
    assert len(again.flights) == 2  # nothing was left to fly


class Late:
    """Somebody who asks to stop once the first flight is over."""

    def __init__(self) -> None:
        self.over = False
        self.asked: list[float] = []

    def end(self) -> None:
        self.over = True

    def sample(self, inputs: Inputs, now: float) -> None:
        if self.over:
            self.asked.append(now)
            inputs.request |= int(Request.ESTOP)


def test_a_stop_between_two_flights_is_heard_at_once_and_nothing_comes_on(tmp_path: Path) -> None:
    spec, late = load_arm(KOCH), Late()
    gains = {"wrist_flex": {"position_p_gain": 250}}
    excitation = small(spec, ("wrist_flex",), ("chirp", "chirp"), gains=gains)
    recording = record_on_twin(spec, None, excitation, tmp_path, hooks=Hooks(inputs=late, show_end=late.end))
    assert [v.ending for v in recording.verdicts] == [Ending.COMPLETED, Ending.ASKED]
    assert recording.verdicts[1].text.startswith("not started: the e-stop is pressed")
    assert late.asked[-1] - late.asked[0] < RECOVER


def test_a_stop_before_the_first_flight_is_heard(tmp_path: Path) -> None:
    spec, late = load_arm(RIG), Late()
    late.end()
    recording = record_on_twin(spec, None, small(spec, ("pendulum",)), tmp_path, hooks=Hooks(inputs=late))
    assert recording.verdicts[0].text.startswith("not started: the e-stop is pressed")
    assert len(read_flight(recording.flights[0])) == 0


def test_a_fault_ends_it_with_the_fault_and_what_was_whole_stays(tmp_path: Path) -> None:
    spec = load_arm(RIG)
    recording = record_on_twin(spec, None, small(spec, ("pendulum",)), tmp_path, faults=["unplugged:at=6"])
    assert recording.verdicts[0].ending is Ending.BUS
    assert not recording.complete
    assert recording.done == ("sweep-1",)


def test_a_part_with_other_gains_is_a_flight_of_its_own(tmp_path: Path) -> None:
    spec = load_arm(KOCH)
    gains = {"wrist_flex": {"position_p_gain": 250}}
    recording = record_on_twin(spec, None, small(spec, ("wrist_flex",), ("chirp", "chirp"), gains=gains), tmp_path)
    assert [f.part for f in recording.flown] == ["", "other"]
    error = []
    for path in recording.flights:
        flight = read_flight(path)
        run = flight["phase"] == Phase.RUN
        error.append(np.abs(flight["command"][run, 3] - flight["q"][run, 3]).mean())
    assert error[1] > 1.2 * error[0]  # a softer servo trails further
    said = json.loads(read_flight(recording.flights[1]).metadata["recording"]["gains"])
    assert said["wrist_flex"]["position_p_gain"] == 250


def test_a_part_with_a_weight_at_the_tip_carries_it_and_says_so(tmp_path: Path) -> None:
    spec = load_arm(RIG)
    recording = record_on_twin(spec, None, small(spec, ("pendulum",), ("sweep", "sweep"), load=0.02), tmp_path)
    assert recording.complete
    logs = [flight_log(path, spec) for path in recording.flights]
    assert [log.load for log in logs] == [0.0, 0.02]
    needed = []  # duty that carries the weight, over the sine of the angle: friction cancels between up and down
    for log in logs:
        rows = log.valid[:, 0] & np.isfinite(log.command[:, 0])
        sine = np.sin(log.q[rows, 0])
        needed.append(float(log.command[rows, 0] @ sine / (sine @ sine)))
    assert needed[1] > 1.2 * needed[0] > 0.0


def test_a_recording_is_never_written_over_and_belongs_to_its_arm(tmp_path: Path) -> None:
    spec = load_arm(RIG)
    excitation = small(spec, ("pendulum",))
    Recording.begin(tmp_path, excitation)
    with pytest.raises(CalibrationError, match="holds a recording already"):
        Recording.begin(tmp_path, excitation)
    other = replace(spec, digest="0" * 64)
    with pytest.raises(CalibrationError, match="begin a new recording"):
        record_on_twin(other, None, excitation, tmp_path)


def test_a_flight_that_was_taken_away_makes_no_other_one_be_written_over(tmp_path: Path) -> None:
    recording = Recording.begin(tmp_path, small(load_arm(RIG), ("pendulum",)))
    assert recording.next_file().name == "flight-01.mcap"
    for name in ("flight-02.mcap", "flight-03.mcap", "flight-of-friday.mcap"):
        (tmp_path / name).write_bytes(b"a minute of an arm")
    assert recording.next_file().name == "flight-04.mcap"
    recording.flown.append(Flown("flight-07.mcap", "", (), "completed", ""))  # noted, and its file is gone
    assert recording.next_file().name == "flight-08.mcap"


@pytest.mark.parametrize("keeps", [0, 0.5, 0.9])
def test_an_excitation_that_was_cut_off_is_told_as_damaged(tmp_path: Path, keeps: float) -> None:
    Recording.begin(tmp_path, small(load_arm(RIG), ("pendulum",)))
    file = tmp_path / "excitation.npz"
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * keeps)])
    with pytest.raises(CalibrationError, match=r"excitation\.npz: damaged"):
        Recording.open(tmp_path)


@pytest.mark.parametrize("what", ["excitation.npz", INDEX])
def test_damaged_folders_are_refused(tmp_path: Path, what: str) -> None:
    spec: ArmSpec = load_arm(RIG)
    Recording.begin(tmp_path, small(spec, ("pendulum",)))
    (tmp_path / what).write_bytes(b"{")
    with pytest.raises(CalibrationError, match=r"damaged"):
        Recording.open(tmp_path)
    (tmp_path / what).unlink()
    with pytest.raises(CalibrationError, match="no recording to go on with"):
        Recording.open(tmp_path)
