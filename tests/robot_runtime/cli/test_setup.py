"""robot-setup servo, baud, undo, release and reboot from their arguments to their exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from robot_runtime.bus import NoReplyError
from robot_runtime.cli.setup import main
from robot_runtime.setup import identity
from robot_runtime.spec import load_arm
from sim.twin.twin import Twin
from tests.robot_runtime.cli.conftest import Desk

FIRST = ("servo", "--id", "7", "--baud", "1000000")


@pytest.fixture
def fresh(desk: Desk) -> Twin:
    """One servo as shipped: ID 1, 57600 bit/s."""
    return desk.put(Twin.load("xl330-pendulum", factory=True))


@pytest.fixture
def koch(desk: Desk) -> Twin:
    return desk.put(Twin.load("koch-v1.1"))


def place(twin: Twin, index: int = 0) -> tuple[int, int]:
    servo = twin.servos[index]
    return servo.get("id"), servo.baudrate


def undo_files(desk: Desk) -> list[Path]:
    return sorted(desk.folder.glob("robot-setup-undo-*.json"))


# -- servo -------------------------------------------------------------------------------------------------------------


def test_a_servo_gets_its_place_when_somebody_says_yes(desk: Desk, fresh: Twin) -> None:
    desk.somebody("y")
    ended = desk.run(main, *FIRST)
    assert (ended.code, place(fresh)) == (0, (7, 1_000_000))
    assert "Found: XL330-M288, firmware" in ended.out
    assert "Make it ID 7 at 1000000 bit/s? [y/N]" in ended.err


def test_no_means_no(desk: Desk, fresh: Twin) -> None:
    desk.somebody("n")
    assert desk.run(main, *FIRST).code == 5
    assert place(fresh) == (1, 57_600)
    assert undo_files(desk) == []


def test_a_script_is_told_the_question_and_nothing_is_written(desk: Desk, fresh: Twin) -> None:
    ended = desk.run(main, *FIRST)
    assert ended.code == 5
    assert "would ask 'Make it ID 7 at 1000000 bit/s?'; --yes answers yes" in ended.err
    assert desk.run(main, *FIRST, "--json").json["error"]["exit_code"] == 5
    assert place(fresh) == (1, 57_600)
    assert desk.asked == 0


def test_yes_and_back_again(desk: Desk, fresh: Twin) -> None:
    result = desk.run(main, *FIRST, "--yes", "--json").json
    assert result["found"]["id"] == 1
    assert place(fresh) == (7, 1_000_000)
    assert desk.run(main, *FIRST, "--yes").out.endswith("It is so already; nothing was written.\n")
    ended = desk.run(main, "undo", result["undo_file"], "--yes")
    assert (ended.code, place(fresh)) == (0, (1, 57_600))
    assert ended.out.count("restored") == 2


def test_without_baud_the_rate_stays(desk: Desk, fresh: Twin) -> None:
    assert desk.run(main, "servo", "--id", "9", "--yes").code == 0
    assert place(fresh) == (9, 57_600)


def test_an_id_that_cannot_be(desk: Desk, fresh: Twin) -> None:
    assert desk.run(main, "servo", "--id", "253", "--yes").code == 2


def test_several_servos_are_too_many_unless_one_is_named(desk: Desk, koch: Twin) -> None:
    ended = desk.run(main, *FIRST, "--yes")
    assert ended.code == 4
    assert "6 servos could be meant" in ended.err
    assert desk.run(main, *FIRST, "--from", "3", "--yes").code == 0
    assert place(koch, 2) == (7, 1_000_000)
    taken = desk.run(main, "servo", "--id", "1", "--from", "4", "--yes")
    assert taken.code == 4
    assert "another servo answers as ID 1" in taken.err


# -- baud --------------------------------------------------------------------------------------------------------------


def test_a_baud_that_the_servos_cannot_do_is_refused_by_its_name(desk: Desk, koch: Twin) -> None:
    ended = desk.run(main, "baud", "--arm", "koch-v1.1", "7", "--yes")
    assert ended.code == 2
    assert "XL430-W250 cannot do 7 bit/s; it does 9600, " in ended.err


def test_all_servos_and_a_copy_of_a_shipped_arm_go_to_another_rate(desk: Desk, koch: Twin) -> None:
    ended = desk.run(main, "baud", "--arm", "koch-v1.1", "2000000", "--yes")
    assert ended.code == 0
    assert {servo.baudrate for servo in koch.servos} == {2_000_000}
    assert load_arm(desk.folder / "koch-v1.1").bus.baudrate == 2_000_000
    assert load_arm("koch-v1.1").bus.baudrate == 2_000_000  # the copy here comes before the one that ships
    (file,) = undo_files(desk)
    assert desk.run(main, "undo", str(file), "--yes").code == 0
    assert {servo.baudrate for servo in koch.servos} == {1_000_000}


def test_servos_that_were_left_half_way_are_brought_along(desk: Desk, koch: Twin) -> None:
    own = desk.folder / "mine"
    shutil.copytree(load_arm("koch-v1.1").path.parent, own)
    for servo in koch.servos[:2]:
        servo.set_eeprom(baud_rate=4)
    ended = desk.run(main, "baud", "--arm", str(own), "2000000", "--yes")
    assert ended.code == 0
    assert {servo.baudrate for servo in koch.servos} == {2_000_000}
    assert load_arm(own).bus.baudrate == 2_000_000
    assert (own / "arm.toml.bak").exists()
    assert desk.run(main, "baud", "--arm", str(own), "2000000").code == 0  # nothing left to ask about


def test_a_missing_servo_keeps_all_where_they_are(desk: Desk, koch: Twin) -> None:
    koch.cut_power(koch.servos[5])
    ended = desk.run(main, "baud", "--arm", "koch-v1.1", "2000000", "--yes")
    assert ended.code == 4
    assert "no answer from ID 6" in ended.err
    assert {servo.baudrate for servo in koch.servos} == {1_000_000}


# -- undo --------------------------------------------------------------------------------------------------------------


def test_undo_of_what_is_no_undo_file(desk: Desk, koch: Twin) -> None:
    assert desk.run(main, "undo", "missing.json", "--yes").code == 2


def test_undo_that_leaves_something_undone_says_so(desk: Desk, koch: Twin) -> None:
    desk.run(main, "arm", "--arm", "koch-v1.1", "--yes", "--undo-file", "u.json")
    koch.servos[0].set_eeprom(velocity_limit=1)
    result = desk.run(main, "undo", "u.json", "--yes", "--json")
    assert result.code == 1
    skipped = [c for c in result.json["changes"] if c["outcome"] == "skipped"]
    assert [(c["servo"], c["register"]) for c in skipped] == [(1, "velocity_limit")]
    assert desk.run(main, "undo", "u.json", "--yes", "--force").code == 0
    assert koch.servos[0].get("velocity_limit") == 265


# -- release and reboot ------------------------------------------------------------------------------------------------


def hold(twin: Twin) -> None:
    for servo in twin.servos:
        register = servo.table.registers["torque_enable"]
        servo.write(register.address, b"\x01")


def test_release_says_first_that_the_arm_falls(desk: Desk, koch: Twin) -> None:
    hold(koch)
    ended = desk.run(main, "release", "--arm", "koch-v1.1")
    assert ended.code == 5
    assert "will fall" in ended.err
    assert all(servo.torque_on for servo in koch.servos)
    assert desk.run(main, "release", "--arm", "koch-v1.1", "--yes").code == 0
    assert not any(servo.torque_on for servo in koch.servos)


def test_release_names_a_joint_that_it_could_not_reach(desk: Desk, koch: Twin) -> None:
    hold(koch)
    koch.inject("servo-silent:servo=elbow_flex,for=60")
    result = desk.run(main, "release", "--arm", "koch-v1.1", "--yes", "--json")
    assert result.code == 4
    assert list(result.json["failed"]) == ["elbow_flex"]
    assert [servo.torque_on for servo in koch.servos].count(True) == 1


def test_reboot_clears_an_error(desk: Desk, koch: Twin) -> None:
    koch.inject("overload:servo=3")
    koch.advance(0.1)
    assert koch.servos[2].get("hardware_error_status")
    assert desk.run(main, "reboot", "--id", "3").code == 5
    ended = desk.run(main, "reboot", "--id", "3", "--yes")
    assert (ended.code, ended.out) == (0, "servo 3 is back, no error\n")
    assert desk.run(main, "reboot", "--id", "33", "--yes").code == 4


# -- nothing moves before all is known ---------------------------------------------------------------------------------


def own_arm(desk: Desk, name: str = "mine") -> Path:
    own = desk.folder / name
    shutil.copytree(load_arm("koch-v1.1").path.parent, own)
    return own


def hand_written(own: Path, bus: str) -> None:
    """The arm file with its [bus] table in other words, at the top."""
    lines = (own / "arm.toml").read_text().splitlines()
    start = lines.index("[bus]")
    end = next(i for i in range(start + 1, len(lines)) if lines[i].startswith("["))
    (own / "arm.toml").write_text("\n".join([bus, *lines[:start], *lines[end:]]) + "\n")


@pytest.mark.parametrize("dotted", [False, True])
def test_an_arm_file_that_cannot_be_changed_moves_no_servo(desk: Desk, koch: Twin, dotted: bool) -> None:
    own = own_arm(desk)
    spec = load_arm(own).bus
    values = {"baudrate": spec.baudrate, "watchdog": spec.watchdog, "return_delay": spec.return_delay}
    inline = "bus = { " + ", ".join(f"{k} = {v}" for k, v in values.items()) + " }"
    hand_written(own, "\n".join(f"bus.{k} = {v}" for k, v in values.items()) if dotted else inline)
    ended = desk.run(main, "baud", "--arm", str(own), "2000000", "--yes")
    moved = {servo.baudrate for servo in koch.servos}
    assert (ended.code, moved) in ((2, {1_000_000}), (0, {load_arm(own).bus.baudrate}))
    if ended.code:
        assert ended.err.endswith("Nothing was written.\n")
        assert undo_files(desk) == []
    assert not inline or dotted or ended.code == 2


def test_out_onto_an_arm_moves_no_servo(desk: Desk, koch: Twin) -> None:
    ended = desk.run(main, "baud", "--arm", str(own_arm(desk)), "2000000", "--yes", "--out", "mine")
    assert ended.code == 2
    assert "exists already" in ended.err
    assert {servo.baudrate for servo in koch.servos} == {1_000_000}


def test_an_undo_file_that_cannot_be_written_moves_no_servo_and_no_file(desk: Desk, koch: Twin) -> None:
    own = own_arm(desk)
    ended = desk.run(main, "baud", "--arm", str(own), "2000000", "--yes", "--undo-file", "no/such/place.json")
    assert ended.code == 2
    assert "cannot write the undo file" in ended.err
    assert {servo.baudrate for servo in koch.servos} == {1_000_000}
    assert {f.name for f in own.iterdir()} == {"arm.toml", "arm.xml"}


def test_torque_in_a_servo_that_was_left_behind_moves_none(desk: Desk, koch: Twin) -> None:
    koch.servos[5].set_eeprom(baud_rate=4)
    hold(koch)
    for servo in koch.servos[:5]:
        servo.write(servo.table.registers["torque_enable"].address, b"\x00")
    ended = desk.run(main, "baud", "--arm", "koch-v1.1", "3000000", "--yes")
    assert ended.code == 5
    assert [servo.baudrate for servo in koch.servos] == [1_000_000] * 5 + [2_000_000]
    assert list(desk.folder.iterdir()) == []


def test_an_empty_folder_of_a_shipped_arms_name_is_no_arm_of_ones_own(desk: Desk, koch: Twin) -> None:
    shipped = load_arm("koch-v1.1").path
    before = shipped.read_bytes()
    (desk.folder / "koch-v1.1").mkdir()
    try:
        assert desk.run(main, "baud", "--arm", "koch-v1.1", "2000000", "--yes").code == 0
        assert shipped.read_bytes() == before
    finally:
        if shipped.read_bytes() != before:
            shipped.write_bytes(before)
    assert load_arm(desk.folder / "koch-v1.1").bus.baudrate == 2_000_000


def test_the_arm_file_is_named_and_paths_with_spaces_are_quoted(desk: Desk, koch: Twin) -> None:
    own = own_arm(desk, "my arm")
    ended = desk.run(main, "baud", "--arm", str(own), "2000000", "--yes", "--undo-file", "old values.json")
    assert f"Arm file: {own / 'arm.toml'}" in ended.out
    assert "robot-setup undo 'old values.json'" in ended.out
    result = desk.run(main, "release", "--arm", str(own), "--yes", "--json").json
    assert result["arm_file"] == str(own / "arm.toml")


# -- every ending tells what was written -------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [KeyboardInterrupt(), NoReplyError(2, "silent"), ZeroDivisionError("a mistake")])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_run_that_breaks_off_says_what_it_wrote(desk: Desk, koch: Twin, ending: BaseException, as_json: bool) -> None:
    answers = iter([identity.require_answer])

    def once(*arguments: Any) -> None:
        try:
            next(answers)(*arguments)
        except StopIteration:
            raise ending from None

    desk.monkeypatch.setattr(identity, "require_answer", once)
    call = ["baud", "--arm", "koch-v1.1", "2000000", "--yes", "--undo-file", "u.json", *["--json"] * as_json]
    if isinstance(ending, ZeroDivisionError):
        with pytest.raises(ZeroDivisionError):
            desk.run(main, *call)
        said = desk.capsys.readouterr()
        code, out, err = 1, said.out, said.err
    else:
        ended = desk.run(main, *call)
        code, out, err = ended.code, ended.out, ended.err
        assert code == (130 if isinstance(ending, KeyboardInterrupt) else 4)
    if as_json:
        data = json.loads(out)
        assert data["error"]["exit_code"] == code
        assert (data["written"], data["undo_file"]) == (True, "u.json")
        assert [c["servo"] for c in data["changes"]] == [1, 2]
    else:
        assert "Written until then: servo 1 baud_rate 3 -> 4; servo 2 baud_rate 3 -> 4." in err
        assert err.endswith("To take it back: robot-setup undo u.json\n")
        assert "othing was written" not in err


def test_what_programs_read_is_the_same_everywhere(desk: Desk, koch: Twin) -> None:
    result = desk.run(main, "baud", "--arm", "koch-v1.1", "2000000", "--yes", "--json").json
    assert {"arm", "arm_file", "baudrate", "changes", "written", "undo_file"} == set(result)
    assert (len(result["changes"]), result["written"]) == (6, True)
    undone = desk.run(main, "undo", result["undo_file"], "--yes", "--json").json
    assert (undone["written"], undone["undo_file"]) == (True, result["undo_file"])
    again = desk.run(main, "undo", result["undo_file"], "--yes", "--json").json
    assert again["written"] is False
    same = desk.run(main, "servo", "--id", "3", "--from", "3", "--json").json
    assert (same["changes"], same["written"], same["undo_file"]) == ([], False, None)


def test_the_input_ends_at_a_question(desk: Desk, fresh: Twin) -> None:
    def ctrl_d() -> str:
        raise EOFError

    desk.somebody(ctrl_d)
    ended = desk.run(main, *FIRST)
    assert ended.code == 5
    assert "no answer" in ended.err
    assert place(fresh) == (1, 57_600)


@pytest.mark.parametrize("number", ["300", "-1", "254", "253", "x"])
def test_ids_that_cannot_be(desk: Desk, koch: Twin, number: str) -> None:
    for call in (["reboot", f"--id={number}"], ["servo", f"--id={number}"], ["servo", "--id=1", f"--from={number}"]):
        ended = desk.run(main, *call, "--yes")
        assert ended.code == 2
        assert "0 to 252" in ended.err


# -- check -------------------------------------------------------------------------------------------------------------


def test_an_arm_that_ships_is_as_it_should_be(desk: Desk) -> None:
    ended = desk.run(main, "check", "--arm", "koch-v1.1", "--json", port=False)
    told = json.loads(ended.out)
    assert (ended.code, told["ok"]) == (0, True)
    assert {check["ok"] for check in told["checks"]} == {True}


def test_what_flights_would_refuse_is_said_before_there_is_an_arm(desk: Desk) -> None:
    shutil.copytree(load_arm("koch-v1.1").path.parent, desk.folder / "mine")
    mjcf = desk.folder / "mine" / "arm.xml"
    mjcf.write_text(mjcf.read_text().replace('name="table"', 'name="floor"'))
    ended = desk.run(main, "check", "--arm", "mine", port=False)
    assert ended.code == 1
    assert "has no geom 'table'" in ended.out
    assert "1 thing to correct" in ended.out
