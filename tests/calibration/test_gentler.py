"""Recordings of arms that do not go where they should: joints that stick, and loads that are too heavy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

from calibration import pipeline
from calibration.cli.calibrate import main
from calibration.excitation.redraw import redraw
from calibration.excitation.spans import INDEX
from calibration.excitation.stage import LIFTED
from calibration.excitation.tracking import with_gains
from calibration.judging.drift import NoRolloutsError, check
from calibration.judging.examine import RefusedLogError
from calibration.logs.load import LeftOut, load
from calibration.logs.windows import cut
from calibration.physics.rollout import Rig
from calibration.recording.gentler import ROUNDS, gentler
from calibration.recording.record import Recording, lies, record_on_twin
from calibration.recording.strain import SOONER, STRAINED, TRAILS, Strain
from robot_runtime.arm import JointState
from robot_runtime.bus import Bus
from robot_runtime.bus.latency_timer import LatencyTimer
from robot_runtime.calibrated.identity import Identity
from robot_runtime.flight.reader import read_flight
from robot_runtime.flying import Phase
from robot_runtime.safety import faults
from robot_runtime.safety.fault_kind import Ending, Fault
from robot_runtime.safety.settings import Settings
from robot_runtime.setup.unboxed import set_up_unboxed
from robot_runtime.spec import ArmSpec, load_arm
from robot_runtime.verdict import Verdict
from sim.twin import LockstepPort, Twin
from tests.calibration.excitations import around_home, small

RIG, OMX, KOCH = "xl330-pendulum", "open-manipulator-x", "koch-v1.1"
MOVED = ("joint1", "joint4")
STICKS = """
[joint.gripper]
offset = -0.035
coulomb = 3.0
"""
"""0.035 rad off its start pose, in gears that take more than its 0.5 N·m."""
HEAVY = """
payload = 0.12
[all]
coulomb = 2.2
torque_constant = 0.88
"""
"""0.27 N·m where the rod is level, for a motor that makes 0.22 N·m of the 0.25 that it may be told."""

SAGS = """
payload = 0.03
command_delay = 0.02
[all]
link_mass = 1.3
torque_constant = 0.88
resistance = 1.12
coulomb = 2.2
load_friction = 1.6
least_stall = 0.9
[supply]
voltage_factor = 0.95
internal_resistance = 0.6
"""
"""As the shipped gap `harsh`, heavier, on a quick bus."""


def gap(folder: Path, text: str) -> str:
    file = folder / "gap.toml"
    file.write_text(text)
    return str(file)


@pytest.fixture(scope="module")
def stuck(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """The gripper is to be held half a hair's breadth from where it sticks."""
    folder = tmp_path_factory.mktemp("stuck")
    return record_on_twin(load_arm(OMX), gap(folder, STICKS), small(load_arm(OMX), MOVED), folder / "recording")


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Sweeps to level and beyond with a weight that the motor cannot lift there."""
    folder, spec = tmp_path_factory.mktemp("heavy"), load_arm(RIG)
    wide = redraw(small(spec, ("pendulum",), ("sweep",), 20.0), spec, around_home(spec, ("pendulum",), 1.5), ())
    return record_on_twin(spec, gap(folder, HEAVY), wide, folder / "recording")


def test_a_joint_that_sticks_is_left_out_and_the_others_go_on(stuck: Recording) -> None:
    assert stuck.complete
    assert [v.ending for v in stuck.verdicts] == [Ending.MOTION, Ending.COMPLETED]
    assert "without gripper" in stuck.verdicts[-1].text
    (note,) = json.loads((stuck.folder / INDEX).read_text())["notes"]["gentler"]
    assert (note["joint"], note["left_out"]) == ("gripper", True)
    assert note["at_rad"] == pytest.approx(0.035, abs=0.01)
    assert 0.4 < note["pushed_nm"] <= 0.55
    assert "did not move" in note["text"]


def test_it_is_held_where_it_stands_and_no_more_pushed(stuck: Recording) -> None:
    flight, gripper = read_flight(stuck.flights[-1]), 4
    run = flight["phase"] == Phase.RUN
    assert np.ptp(flight["target"][run, gripper]) == 0.0
    assert np.abs(flight["tau"][run, gripper]).mean() < 0.1
    assert np.ptp(flight["q"][run, 0]) > 0.2


def test_a_load_that_is_too_heavy_gets_less_room(heavy: Recording) -> None:
    assert heavy.complete
    first = heavy.relents[0]
    assert (first["joint"], first["left_out"]) == ("pendulum", False)
    assert first["times"][0] > 1.3
    reach = max(float(np.abs(s.q).max()) for s in heavy.excitation.segments)
    assert 0.15 < reach < abs(first["at_rad"]) - 0.1
    assert "of 0.25 N·m" in first["text"]


def test_nothing_is_pushed_harder_than_the_arm_file_says(heavy: Recording) -> None:
    last = read_flight(heavy.flights[-1])
    run = last["phase"] == Phase.RUN
    assert np.abs(last["tau"][run]).max() < load_arm(RIG).joints[0].limits.torque


def test_joints_that_trail_get_more_gain_and_the_others_keep_theirs(tmp_path: Path) -> None:
    """The Koch's shoulder cannot lift it with the factory's gain."""
    spec = load_arm(KOCH)
    recording = record_on_twin(spec, gap(tmp_path, SAGS), small(spec, ("wrist_roll",)), tmp_path / "recording")
    first = recording.verdicts[0]
    assert first.faults[0].kind is TRAILS
    gains = recording.excitation.gains[""]
    assert gains["shoulder_lift"] == {"position_p_gain": 1280}
    assert "elbow_flex" not in gains  # the arm file has given it one
    assert "1280 in shoulder_lift" in recording.relents[0]["text"]


def test_what_was_recorded_with_more_gain_flies_with_the_arm_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It belonged to an arm that is not flown: robot-run refused it, and to calibrate again recorded the same."""
    spec = load_arm(KOCH)
    more = {"shoulder_lift": {"position_p_gain": 1280}}
    excitation = replace(small(spec, ("wrist_roll",), ("sweep",)), gains={"": more})
    stiffer = with_gains(spec, more)
    record_on_twin(spec, None, excitation, tmp_path)
    logs = load([tmp_path], spec)
    for one in logs:
        windows = cut([one.log], 0.5)  # the physics are fitted to what each log was flown with, whatever the file says
        assert (windows.gains[0][:, 1] == 1280).all()
        assert (windows.gains[0][:, 2] == 1500).all()
    monkeypatch.setattr(pipeline, "examine", lambda *_: ())
    for file, told in ((spec, True), (stiffer, False)):
        identity = pipeline.identity_of(logs, file)
        assert list(identity.differences(Identity.of_spec(file))) == []
        found = "\n".join(pipeline.findings_of(logs, Rig.of(file)))
        assert ("shoulder_lift was recorded with position_p_gain 1280, and arm.toml has 640" in found) is told
        assert "elbow_flex was" not in found
    ((what, *_),) = pipeline.identity_of(logs, spec).differences(Identity.of_spec(stiffer))
    assert what == "shoulder_lift: gains"


def test_a_part_with_softer_gains_stays_softer(tmp_path: Path) -> None:
    spec = load_arm(KOCH)
    soft = {"shoulder_lift": {"position_p_gain": 384}}
    excitation = small(spec, ("wrist_roll",), gains=soft)
    recording = record_on_twin(spec, gap(tmp_path, SAGS), excitation, tmp_path / "recording")
    gains = [recording.excitation.gains[part]["shoulder_lift"]["position_p_gain"] for part in ("", "other")]
    assert gains == [1280, 768]


@pytest.mark.parametrize(("push", "phase", "told"), [(0.8, Phase.RUN, 1), (0.7, Phase.RUN, 0), (0.9, Phase.START, 0)])
def test_a_long_push_ends_a_flight_and_lifting_from_rest_does_not(push: float, phase: Phase, told: int) -> None:
    spec = load_arm(RIG)
    loop = cycle(spec, phase)
    loop.arm.state.tau[:] = push * spec.joints[0].limits.torque
    strain = Strain(spec, 0.005)
    for _ in range(1000):
        strain(loop)
    kinds = [call.args[0].kind for call in loop.monitor.add.call_args_list]
    assert kinds == [STRAINED] * told


@pytest.mark.parametrize(("name", "seconds", "told"), [(KOCH, 0.3, True), (KOCH, 0.2, False), (OMX, 0.3, False)])
def test_a_goal_that_runs_away_ends_it_where_servos_follow_goals(name: str, seconds: float, told: bool) -> None:
    spec = load_arm(name)
    loop = cycle(spec, Phase.START)
    loop.command[:] = 0.36
    strain = Strain(spec, 0.005)
    for _ in range(round(seconds / 0.005)):
        strain(loop)
    assert loop.monitor.add.called is told


def test_what_the_recording_stops_at_is_stricter_than_the_monitor() -> None:
    settings = Settings()
    assert settings.stall_share > LIFTED
    assert SOONER < 1.0


def cycle(spec: ArmSpec, phase: Phase) -> Any:
    """A loop after a cycle, as far as somebody looks at it who only looks."""
    count = len(spec.joints)
    loop = MagicMock(phase=phase, command=np.zeros(count))
    loop.arm.state = JointState(count)
    loop.monitor.settings = Settings()
    return loop


def test_a_resumed_recording_knows_what_was_left_out(stuck: Recording) -> None:
    again = Recording.open(stuck.folder)
    assert again.relents == stuck.relents
    assert np.array_equal(again.excitation.start, stuck.excitation.start)


@pytest.mark.parametrize("kind", [faults.OPERATOR_STOP, faults.BUS_SILENT, faults.OVER_SPEED, faults.TOO_HOT])
def test_other_faults_change_nothing(tmp_path: Path, kind: Any) -> None:
    spec = load_arm(RIG)
    ended = Verdict(Ending.ASKED, "", faults=(Fault(kind, ("pendulum",), 0.0, 1.0, ""),))
    assert gentler(spec, small(spec, ("pendulum",)), (), (), tmp_path / "none.mcap", ended) is None


def test_after_an_overload_it_waits_for_somebody_and_is_gentler_then(tmp_path: Path) -> None:
    spec = load_arm(RIG)
    excitation = small(spec, ("pendulum",), seconds=6.0)
    recording = record_on_twin(spec, None, excitation, tmp_path, faults=["overload:servo=1,at=4"])
    assert [v.ending for v in recording.verdicts] == [Ending.SERVO]
    assert not recording.complete
    assert [note["joint"] for note in recording.relents] == ["pendulum"]


def test_nobody_flies_again_unasked_when_the_lowering_was_blocked() -> None:
    stalled = Fault(faults.STALLED, ("pendulum",), 0.0, 1.0, "")
    blocked = Fault(faults.LOWERING_BLOCKED, ("pendulum",), 0.0, 2.0, "")
    assert lies(Verdict(Ending.MOTION, "", faults=(stalled,)))
    assert not lies(Verdict(Ending.MOTION, "", faults=(stalled, blocked)))


def test_it_gives_up_after_some_rounds(heavy: Recording) -> None:
    spec = load_arm(RIG)
    notes = [heavy.relents[0]] * ROUNDS
    assert gentler(spec, heavy.excitation, (), notes[:1], heavy.flights[0], heavy.verdicts[0]) is not None
    assert gentler(spec, heavy.excitation, (), notes, heavy.flights[0], heavy.verdicts[0]) is None


def test_what_stood_still_all_the_same_gets_less_room_again(heavy: Recording) -> None:
    """The same flight once more: nothing new is seen, and the next try is not the last one again."""
    spec, first = load_arm(RIG), heavy.relents[0]
    again = gentler(spec, heavy.excitation, (), [first], heavy.flights[0], heavy.verdicts[0])
    assert again is not None
    assert again.note["times"][0] > 1.1 * first["times"][0]


def test_a_fit_leaves_out_what_the_recording_left_out(stuck: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its numbers stay the data file's, it says so, and the simulated arm has it where it stood."""
    spec = load_arm(OMX)
    logs = load([stuck.folder], spec)
    assert list(logs[0].left_out) == ["gripper"]
    there = np.where(np.arange(len(spec.joints)) == spec.joint_names.index("joint4"), 0.5, logs[0].log.q)
    stood = replace(
        logs[0], left_out={"joint4": LeftOut(0.5, "joint4 did not move")}, log=replace(logs[0].log, q=there)
    )

    def seen(rig: Rig, *_: object, **__: object) -> None:
        raise RuntimeError(f"{rig.world.names} {rig.world.spec.poses['home']}")

    monkeypatch.setattr(pipeline, "examine", lambda *_: ())
    monkeypatch.setattr(pipeline, "identify", seen)
    with pytest.raises(RuntimeError, match=r"\('joint1', 'joint2', 'joint3'\) \(0.0, -1.0, 0.3, 0.5, 0.0\)"):
        pipeline.calibrate([stood], spec)
    everything = dict.fromkeys(spec.joint_names, LeftOut(0.0, ""))
    with pytest.raises(RefusedLogError, match="no joint in them moved"):
        pipeline.calibrate([replace(logs[0], left_out=everything)], spec)


def test_what_was_left_out_is_among_the_findings(stuck: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load_arm(OMX)
    monkeypatch.setattr(pipeline, "examine", lambda *_: ("something else",))
    found = pipeline.findings_of(load([stuck.folder], spec), Rig.of(spec))
    assert found[0].startswith("gripper keeps its data file's numbers: gripper was pushed with 0.")
    assert found[1:] == ("something else",)


def test_a_log_without_a_joint_says_nothing_of_its_calibration(
    stuck: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = load_arm(OMX)
    monkeypatch.setattr("calibration.judging.drift.joints_of", lambda _: ("joint1", "gripper"))
    with pytest.raises(NoRolloutsError, match="gripper left out"):
        check(None, load([stuck.folder], spec), spec)  # type: ignore[arg-type]


def test_the_command_says_it_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program itself, in virtual time."""
    spec = load_arm(OMX)
    twin = Twin.load(str(spec.path), gap=gap(tmp_path, STICKS))
    set_up_unboxed(Bus(LockstepPort(twin)), spec)

    def opened(*_: object) -> Any:
        port: Any = LockstepPort(twin)
        port.latency_timer, port.spin = LatencyTimer(1, None), 0.0
        return port

    @contextmanager
    def lockstep(*_: object, **__: object) -> Iterator[LockstepPort]:
        yield opened()

    monkeypatch.setattr("robot_runtime.port_or_twin.port_or_twin", lockstep)
    monkeypatch.setattr("robot_runtime.bus.SerialPort", opened)
    folder = tmp_path / "recording"
    Recording.begin(folder, small(spec, MOVED), {"gap": "none"})
    assert main(["record", "--resume", str(folder), "--no-picture", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert told[-1]["complete"]
    assert told[-1]["gentler"][0]["joint"] == "gripper"
    assert len(told[-1]["flights"]) == 2
