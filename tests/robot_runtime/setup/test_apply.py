"""Changes that can be taken back: the undo file comes first, and tells the truth whatever happens then."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from robot_runtime.bus import Bus, NoReplyError
from robot_runtime.servos import Register, servo_model
from robot_runtime.setup.apply import Outcome, UndoLog, apply, load_undo, undo
from robot_runtime.setup.errors import RefusedError, UndoFileError
from robot_runtime.setup.plan import Change
from sim.twin.lockstep import LockstepPort
from sim.twin.twin import Twin
from tests.sim.twin.bench import bench_twin

XM = servo_model("XM430-W350")


def change(servo_id: int, register: str, before: int, after: int) -> Change:
    return Change(servo_id, 1_000_000, XM, XM.register(register), before, after, "")


CHANGES = (
    change(11, "return_delay_time", 250, 0),
    change(11, "velocity_limit", 200, 100),
    change(12, "temperature_limit", 80, 70),
)


ENTRY = (
    '{"kind": "robot-setup undo file", "version": 1, "changes": [{"servo": 1, "baudrate": 1000000, '
    '"model": "XM430-W350", "register": "%s", "before": 1, "after": 2}]}'
)


@pytest.fixture
def twin() -> Twin:
    twin = bench_twin(("XM430-W350", "XM430-W350"))
    for servo in twin.servos:
        servo.set_eeprom(return_delay_time=250)
    return twin


@pytest.fixture
def bus(twin: Twin) -> Bus:
    return Bus(LockstepPort(twin))


def state(twin: Twin) -> list[int]:
    one, two = twin.servos
    return [one.get("return_delay_time"), one.get("velocity_limit"), two.get("temperature_limit")]


def outcomes(results: Sequence[object]) -> list[str]:
    return [str(getattr(entry, "outcome", "")) for entry in results]


def test_what_is_applied_is_there_and_can_be_taken_back(twin: Twin, bus: Bus, tmp_path: Path) -> None:
    log = UndoLog(tmp_path / "undo.json", "test")
    apply(bus, CHANGES, log)
    assert state(twin) == [0, 100, 70]
    results = undo(bus, load_undo(log.path))
    assert [entry.change.register.name for entry in results] == [c.register.name for c in reversed(CHANGES)]
    assert outcomes(results) == [Outcome.RESTORED] * 3
    assert state(twin) == [250, 200, 80]


def test_the_undo_file_is_complete_before_the_first_write(
    twin: Twin, bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = UndoLog(tmp_path / "undo.json", "test")
    seen: list[int] = []

    def look(servo_id: int, register: Register, value: int) -> None:
        seen.append(len(json.loads(log.path.read_text())["changes"]))
        assert state(twin) == [250, 200, 80]
        raise NoReplyError(servo_id, "the power failed")

    monkeypatch.setattr(bus, "write_verified", look)
    with pytest.raises(NoReplyError):
        apply(bus, CHANGES, log)
    assert seen == [3]


def test_a_run_that_broke_off_half_way_is_taken_back(
    twin: Twin, bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = UndoLog(tmp_path / "undo.json", "test")
    write, written = bus.write_verified, list[str]()

    def once(servo_id: int, register: Register, value: int) -> None:
        if written:
            raise NoReplyError(servo_id, "the power failed")
        written.append(register.name)
        write(servo_id, register, value)

    with monkeypatch.context() as patch:
        patch.setattr(bus, "write_verified", once)
        with pytest.raises(NoReplyError):
            apply(bus, CHANGES, log)
    assert state(twin) == [0, 200, 80]
    assert outcomes(undo(bus, load_undo(log.path))) == [Outcome.ALREADY, Outcome.ALREADY, Outcome.RESTORED]
    assert state(twin) == [250, 200, 80]


def test_torque_forbids_and_nothing_is_written(twin: Twin, bus: Bus, tmp_path: Path) -> None:
    bus.write(12, XM.register("torque_enable"), 1)
    with pytest.raises(RefusedError, match="torque is on in servo 12"):
        apply(bus, CHANGES, UndoLog(tmp_path / "undo.json", "test"))
    assert state(twin) == [250, 200, 80]
    assert list(tmp_path.iterdir()) == []


def test_an_undo_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "undo.json").write_text("precious")
    with pytest.raises(UndoFileError, match="exists already"):
        UndoLog(tmp_path / "undo.json", "test")


def test_no_undo_file_no_write(twin: Twin, bus: Bus, tmp_path: Path) -> None:
    with pytest.raises(UndoFileError, match="cannot write the undo file"):
        apply(bus, CHANGES, UndoLog(tmp_path / "no" / "such" / "folder.json", "test"))
    assert state(twin) == [250, 200, 80]


def test_what_somebody_else_has_written_since_is_left_alone(twin: Twin, bus: Bus, tmp_path: Path) -> None:
    log = UndoLog(tmp_path / "undo.json", "test")
    apply(bus, CHANGES, log)
    bus.write(11, XM.register("velocity_limit"), 150)
    results = undo(bus, load_undo(log.path))
    assert outcomes(results) == [Outcome.RESTORED, Outcome.SKIPPED, Outcome.RESTORED]
    assert "150" in results[1].reason
    assert state(twin) == [250, 150, 80]
    undo(bus, load_undo(log.path), force=True)
    assert state(twin) == [250, 200, 80]


def test_a_servo_that_is_gone_or_another_keeps_nothing_else_from_being_undone(
    twin: Twin, bus: Bus, tmp_path: Path
) -> None:
    log = UndoLog(tmp_path / "undo.json", "test")
    apply(bus, CHANGES, log)
    twin.cut_power(twin.servos[1])
    results = undo(bus, load_undo(log.path))
    assert outcomes(results) == [Outcome.SKIPPED, Outcome.RESTORED, Outcome.RESTORED]
    assert "does not answer" in results[0].reason


def test_undo_knows_a_servo_by_its_model(bus: Bus) -> None:
    xl = servo_model("XL330-M288")
    other = Change(11, 1_000_000, xl, xl.register("return_delay_time"), 100, 250, "")
    (result,) = undo(bus, [other])
    assert result.outcome is Outcome.SKIPPED
    assert "not a XL330-M288" in result.reason


def test_undo_under_torque_is_refused_by_the_servo_and_said(twin: Twin, bus: Bus, tmp_path: Path) -> None:
    log = UndoLog(tmp_path / "undo.json", "test")
    apply(bus, CHANGES[:1], log)
    bus.write(11, XM.register("torque_enable"), 1)
    (result,) = undo(bus, load_undo(log.path))
    assert result.outcome is Outcome.SKIPPED
    assert "locked while torque is on" in result.reason


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("not json", "not an undo file"),
        ("[]", "not an undo file"),
        ('{"kind": "robot-setup undo file", "version": 99, "changes": []}', "of this version"),
        (
            '{"kind": "robot-setup undo file", "version": 1, "changes": [{"servo": 1}]}',
            "entry 1 cannot be understood: 'baudrate' is missing",
        ),
        (
            ENTRY % "nonsense",
            "nonsense",
        ),
    ],
)
def test_a_file_that_is_no_undo_file_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "undo.json").write_text(text)
    with pytest.raises(UndoFileError, match=complaint):
        load_undo(tmp_path / "undo.json")


def test_a_missing_undo_file(tmp_path: Path) -> None:
    with pytest.raises(UndoFileError, match="cannot read"):
        load_undo(tmp_path / "undo.json")


GOOD = {
    "servo": 1,
    "baudrate": 1_000_000,
    "model": "XM430-W350",
    "register": "velocity_limit",
    "before": 200,
    "after": 100,
}


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        ({"register": "torque_enable", "before": 1, "after": 0}, "not a setting"),
        ({"register": "model_number"}, "not a setting"),
        ({"model": "XX1"}, "no servo model"),
        ({"before": 200.0}, "before is not an integer"),
        ({"before": True}, "before is not an integer"),
        ({"after": "100"}, "after is not an integer"),
        ({"before": 1 << 40}, "outside"),
        ({"after": -1}, "outside"),
        ({"servo": 254}, "IDs go from 0 to 252"),
        ({"servo": -1}, "IDs go from 0 to 252"),
        ({"baudrate": 1_000_001}, "does not do 1000001"),
        ({"register": "id", "before": 1, "after": 253}, "outside 0..252"),
        ({"register": "id", "before": 2, "after": 3}, "was not 2 in a servo with ID 1"),
        ({"register": "baud_rate", "before": 3, "after": 99}, "99"),
        ({"register": "baud_rate", "before": 1, "after": 3}, "was not 1"),
    ],
)
def test_an_edited_entry_is_refused_and_named(tmp_path: Path, edit: dict[str, object], complaint: str) -> None:
    file = tmp_path / "undo.json"
    head = {"kind": "robot-setup undo file", "version": 1}
    file.write_text(json.dumps({**head, "changes": [GOOD]}))
    assert len(load_undo(file)) == 1
    file.write_text(json.dumps({**head, "changes": [GOOD, {**GOOD, **edit}]}))
    with pytest.raises(UndoFileError, match=f"undo.json: entry 2 .*{complaint}"):
        load_undo(file)


@pytest.mark.parametrize("changes", ["{}", "null", "[7]"])
def test_changes_that_are_no_list_of_entries(tmp_path: Path, changes: str) -> None:
    head = '{"kind": "robot-setup undo file", "version": 1, "changes": '
    (tmp_path / "undo.json").write_text(head + changes + "}")
    with pytest.raises(UndoFileError, match=r"undo\.json"):
        load_undo(tmp_path / "undo.json")
