"""One servo gets its ID and baud rate; nobody else is harmed, and power may fail in between."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from robot_runtime.bus import Bus, PortSettingError, VerifyError
from robot_runtime.bus.scan import known_baudrates, scan
from robot_runtime.servos import Register, ServoModel, servo_model
from robot_runtime.setup import identity
from robot_runtime.setup.apply import Outcome, UndoLog, load_undo, undo, write_identity
from robot_runtime.setup.errors import NoServoError, RefusedError, WhichServoError
from robot_runtime.setup.identity import Place, assign, change_baudrate, identity_changes, locate, the_one_servo
from sim.twin.lockstep import LockstepPort
from sim.twin.twin import Twin
from tests.sim.twin.bench import bench_twin

RATES = (1_000_000, 57_600)


def fresh(*models: str) -> tuple[Twin, Bus]:
    """Servos as shipped: ID 1, 57600 bit/s."""
    twin = bench_twin(models, factory=True)
    return twin, Bus(LockstepPort(twin))


def places(bus: Bus) -> list[tuple[int, int]]:
    return [(s.servo_id, s.baudrate) for s in scan(bus, known_baudrates()).servos]


class Slow(LockstepPort):
    """An adapter that does no more than 1 Mbaud."""

    def set_baudrate(self, baudrate: int) -> None:
        if baudrate > 1_000_000:
            raise PortSettingError(errno.EINVAL, f"does not do {baudrate} bit/s", self.name)
        super().set_baudrate(baudrate)


def test_a_fresh_servo_gets_its_place_and_can_go_back(tmp_path: Path) -> None:
    _, bus = fresh("XL330-M288")
    log = UndoLog(tmp_path / "undo.json", "test")
    assign(bus, the_one_servo(bus, RATES), Place(5, 3_000_000), log)
    assert bus.port.baudrate == 3_000_000
    assert places(bus) == [(5, 3_000_000)]
    results = undo(bus, load_undo(log.path))
    assert [r.outcome for r in results] == [Outcome.RESTORED, Outcome.RESTORED]
    assert places(bus) == [(1, 57_600)]


def test_the_id_is_written_before_the_baud_rate() -> None:
    _, bus = fresh("XL330-M288")
    todo = identity_changes(the_one_servo(bus, RATES), Place(5, 1_000_000))
    assert [(c.register.name, c.servo_id, c.baudrate) for c in todo] == [("id", 1, 57_600), ("baud_rate", 5, 57_600)]


def test_power_that_fails_between_the_two_writes_is_made_good_by_running_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin, bus = fresh("XL330-M288")

    def failing(bus: Bus, servo_id: int, register: Register, value: int) -> None:
        write_identity(bus, servo_id, register, value)
        twin.cut_power(twin.servos[0])

    log = UndoLog(tmp_path / "first.json", "test")
    with monkeypatch.context() as patch:
        patch.setattr(identity, "write_identity", failing)
        with pytest.raises(VerifyError, match="robot-scan"):
            assign(bus, the_one_servo(bus, RATES), Place(5, 1_000_000), log)
    twin.restore_power(twin.servos[0])
    twin.advance(twin.time + 1.0)
    assert places(bus) == [(5, 57_600)]
    assign(bus, the_one_servo(bus, RATES), Place(5, 1_000_000), UndoLog(tmp_path / "second.json", "test"))
    assert places(bus) == [(5, 1_000_000)]


def test_the_undo_of_a_half_done_assignment(tmp_path: Path) -> None:
    _, bus = fresh("XL330-M288")
    log = UndoLog(tmp_path / "undo.json", "test")
    servo = the_one_servo(bus, RATES)
    log.add(identity_changes(servo, Place(5, 1_000_000)))
    bus.set_baudrate(57_600)
    write_identity(bus, 1, servo_model("XL330-M288").register("id"), 5)
    assert [r.outcome for r in undo(bus, load_undo(log.path))] == [Outcome.ALREADY, Outcome.RESTORED]
    assert places(bus) == [(1, 57_600)]


def test_nobody_two_or_a_pair_at_one_id() -> None:
    twin, bus = fresh("XL330-M288", "XL430-W250")
    with pytest.raises(WhichServoError, match="share ID 1"):
        the_one_servo(bus, RATES)
    twin.servos[1].set_eeprom(id=2)
    with pytest.raises(WhichServoError, match="2 servos could be meant"):
        the_one_servo(bus, RATES)
    assert the_one_servo(bus, RATES, servo_id=2).servo_id == 2
    assert the_one_servo(bus, RATES, settled=[Place(2, 57_600)]).servo_id == 1
    for servo in twin.servos:
        twin.cut_power(servo)
    with pytest.raises(NoServoError, match="check cable and power"):
        the_one_servo(bus, RATES)


@pytest.mark.parametrize("taken_at", [57_600, 1_000_000])
def test_an_id_that_is_taken_is_refused_before_anything_is_written(taken_at: int, tmp_path: Path) -> None:
    twin, bus = fresh("XL330-M288", "XL330-M288")
    model = servo_model("XL330-M288")
    twin.servos[1].set_eeprom(id=5, baud_rate=model.baudrates[taken_at])
    servo = the_one_servo(bus, RATES, servo_id=1)
    with pytest.raises(WhichServoError, match=f"ID 5 at {taken_at} bit/s already"):
        assign(bus, servo, Place(5, 1_000_000), UndoLog(tmp_path / "undo.json", "test"))
    assert sorted(places(bus)) == sorted([(1, 57_600), (5, taken_at)])
    assert list(tmp_path.iterdir()) == []


def test_two_servos_that_share_the_target_are_heard_too(tmp_path: Path) -> None:
    twin, bus = fresh("XL330-M288", "XL330-M288", "XL330-M288")
    for emulated in twin.servos[1:]:
        emulated.set_eeprom(id=5)
    servo = the_one_servo(bus, RATES, servo_id=1)
    with pytest.raises(WhichServoError, match="already"):
        assign(bus, servo, Place(5, 1_000_000), UndoLog(tmp_path / "undo.json", "test"))


def test_torque_locks_the_id(tmp_path: Path) -> None:
    _, bus = fresh("XM430-W350")
    servo = the_one_servo(bus, RATES)
    bus.set_baudrate(57_600)
    bus.write(1, servo_model("XM430-W350").register("torque_enable"), 1)
    with pytest.raises(RefusedError, match="torque is on"):
        assign(bus, servo, Place(5, 1_000_000), UndoLog(tmp_path / "undo.json", "test"))
    assert places(bus) == [(1, 57_600)]


def test_a_rate_that_model_or_adapter_do_not_do(tmp_path: Path) -> None:
    twin, bus = fresh("XL330-M288")
    servo = the_one_servo(bus, RATES)
    with pytest.raises(WhichServoError, match="does not do 4500000"):
        assign(bus, servo, Place(5, 4_500_000), UndoLog(tmp_path / "undo.json", "test"))
    with pytest.raises(PortSettingError):
        assign(Bus(Slow(twin)), servo, Place(5, 2_000_000), UndoLog(tmp_path / "undo.json", "test"))
    assert places(bus) == [(1, 57_600)]


def test_undo_does_not_bring_two_servos_to_one_id(tmp_path: Path) -> None:
    twin, bus = fresh("XL330-M288", "XL330-M288")
    twin.cut_power(twin.servos[1])
    log = UndoLog(tmp_path / "undo.json", "test")
    assign(bus, the_one_servo(bus, RATES), Place(5, 57_600), log)
    twin.restore_power(twin.servos[1])
    twin.advance(twin.time + 1.0)
    (result,) = undo(bus, load_undo(log.path))
    assert result.outcome is Outcome.SKIPPED
    assert "connect this one alone" in result.reason
    assert places(bus) == [(1, 57_600), (5, 57_600)]


def arm(*models: str) -> tuple[Twin, Bus, dict[Place, ServoModel]]:
    twin = bench_twin(models, ids=tuple(range(1, len(models) + 1)))
    return twin, Bus(LockstepPort(twin)), {Place(i + 1, 1_000_000): servo_model(n) for i, n in enumerate(models)}


def test_a_whole_arm_changes_its_baud_rate_and_back(tmp_path: Path) -> None:
    _, bus, servos = arm("XL330-M288", "XM430-W350", "XL430-W250")
    log = UndoLog(tmp_path / "undo.json", "test")
    change_baudrate(bus, servos, 2_000_000, log)
    assert bus.port.baudrate == 2_000_000
    assert places(bus) == [(1, 2_000_000), (2, 2_000_000), (3, 2_000_000)]
    assert {r.outcome for r in undo(bus, load_undo(log.path))} == {Outcome.RESTORED}
    assert places(bus) == [(1, 1_000_000), (2, 1_000_000), (3, 1_000_000)]


def test_a_rate_that_one_model_lacks_changes_none(tmp_path: Path) -> None:
    _, bus, servos = arm("XM430-W350", "XL330-M288")
    with pytest.raises(WhichServoError, match="XL330-M288 does not do 4500000"):
        change_baudrate(bus, servos, 4_500_000, UndoLog(tmp_path / "undo.json", "test"))
    assert places(bus) == [(1, 1_000_000), (2, 1_000_000)]


def test_locate_finds_servos_that_were_left_half_way() -> None:
    twin, bus, _ = arm("XL330-M288", "XM430-W350")
    twin.servos[1].set_eeprom(baud_rate=4)
    assert locate(bus, (1, 2), (*RATES, 2_000_000)) == {Place(1, 1_000_000): 1200, Place(2, 2_000_000): 1020}
    assert bus.port.baudrate == 1_000_000
    with pytest.raises(NoServoError, match="no answer from ID 3"):
        locate(bus, (1, 3), RATES)


def test_torque_in_a_servo_at_another_rate_keeps_all_where_they_are(tmp_path: Path) -> None:
    twin, bus, servos = arm("XL330-M288", "XM430-W350")
    twin.servos[1].set_eeprom(baud_rate=1)
    model = servos.pop(Place(2, 1_000_000))
    bus.set_baudrate(57_600)
    bus.write(2, model.register("torque_enable"), 1)
    bus.set_baudrate(1_000_000)
    with pytest.raises(RefusedError, match="servo 2"):
        change_baudrate(bus, {**servos, Place(2, 57_600): model}, 2_000_000, UndoLog(tmp_path / "undo.json", "test"))
    assert places(bus) == [(1, 1_000_000), (2, 57_600)]
    assert list(tmp_path.iterdir()) == []


def test_locate_passes_over_a_rate_that_the_adapter_does_not_do() -> None:
    bus = Bus(Slow(bench_twin()))
    found = locate(bus, [bench_servo_id(bus)], [4_000_000, 57_600, 1_000_000])
    assert len(found) == 1


def bench_servo_id(bus: Bus) -> int:
    """An ID on the bench's bus."""
    return next(iter(bus.broadcast_ping()))
