from __future__ import annotations

import errno
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from robot_runtime.calibrated.errors import (
    ArmCalError,
    CalibrationDigestError,
    CalibrationVersionError,
    NotCalibrationError,
    TornCalibrationError,
)
from robot_runtime.calibrated.file import LARGEST, VERSION, Calibration, Number
from robot_runtime.spec import load_arm
from tests.robot_runtime.calibrated.made import healthy


@pytest.fixture(scope="module")
def made() -> Calibration:
    return healthy(load_arm("koch-v1.1"), offset=0.05)


def edited(path: Path, **facts: object) -> Path:
    """The same zip with other facts in its JSON."""
    members = {}
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    told = json.loads(members["calibration.json"]) | facts
    members["calibration.json"] = json.dumps({k: v for k, v in told.items() if v is not None}).encode()
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    path.write_bytes(data.getvalue())
    return path


def test_what_was_written_is_read(made: Calibration, tmp_path: Path) -> None:
    written = made.write(tmp_path / "arm.cal")
    read = Calibration.read(tmp_path / "arm.cal")
    assert read == written
    assert len(read.digest) == 64
    assert read.maps["observation"].taps["command"][0] == 0.005


def test_arms_alike_are_kept_and_a_file_without_them_is_as_before(made: Calibration, tmp_path: Path) -> None:
    delay = {"delay": Number(0.02, 0.01, 0.03, seen=True, unit="s")}
    one = replace(made, physics=delay, alike=((0.015,), (0.025,))).write(tmp_path / "arm.cal")
    assert Calibration.read(tmp_path / "arm.cal") == one
    made.write(tmp_path / "bare.cal")
    with zipfile.ZipFile(tmp_path / "bare.cal") as archive:
        assert "alike" not in json.loads(archive.read("calibration.json"))


def test_the_same_calibration_is_the_same_file(made: Calibration, tmp_path: Path) -> None:
    for name in ("a.cal", "b.cal"):
        made.write(tmp_path / name)
    assert (tmp_path / "a.cal").read_bytes() == (tmp_path / "b.cal").read_bytes()
    other = replace(made, accepted=False).write(tmp_path / "c.cal")
    assert other.digest != Calibration.read(tmp_path / "a.cal").digest


def test_nothing_is_pickled_or_a_program(made: Calibration, tmp_path: Path) -> None:
    made.write(tmp_path / "arm.cal")
    with zipfile.ZipFile(tmp_path / "arm.cal") as archive:
        assert set(archive.namelist()) == {"calibration.json", "observation.onnx", "goal.onnx"}


def test_something_else_is_not_a_calibration(tmp_path: Path) -> None:
    path = tmp_path / "policy.onnx"
    path.write_bytes(b"\x08\x08 not a zip")
    with pytest.raises(NotCalibrationError, match="not a calibration"):
        Calibration.read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(NotCalibrationError, match="says no version"):
        Calibration.read(path)
    with pytest.raises(FileNotFoundError):
        Calibration.read(tmp_path / "missing.cal")


def test_a_torn_file_is_told_wherever_it_was_torn(made: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "arm.cal"
    made.write(path)
    whole = path.read_bytes()
    for size in range(10, len(whole), len(whole) // 7):
        path.write_bytes(whole[:size])
        with pytest.raises(TornCalibrationError, match="copy it again"):
            Calibration.read(path)


def test_no_flipped_bit_passes(made: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "arm.cal"
    made.write(path)
    whole = bytearray(path.read_bytes())
    passed = 0
    for at in range(50, len(whole), len(whole) // 40):
        whole[at] ^= 0x10
        path.write_bytes(whole)
        with suppress(ArmCalError):
            passed += Calibration.read(path) != made.write(tmp_path / "same.cal")
        whole[at] ^= 0x10
    assert passed == 0  # bits that mean nothing (a date) may flip; what is read is what was written


def test_a_later_version_says_so(made: Calibration, tmp_path: Path) -> None:
    made.write(tmp_path / "arm.cal")
    with pytest.raises(CalibrationVersionError, match=f"version {VERSION + 1}, this software knows {VERSION}; update"):
        Calibration.read(edited(tmp_path / "arm.cal", version=VERSION + 1))


def test_who_edits_it_is_found_out(made: Calibration, tmp_path: Path) -> None:
    replace(made, accepted=False).write(tmp_path / "arm.cal")
    with pytest.raises(CalibrationDigestError, match="edited"):
        Calibration.read(edited(tmp_path / "arm.cal", accepted=True))


def test_a_missing_part_is_torn(made: Calibration, tmp_path: Path) -> None:
    made.write(tmp_path / "arm.cal")
    with pytest.raises(TornCalibrationError, match="incomplete"):
        Calibration.read(edited(tmp_path / "arm.cal", physics=None))


def rewritten(path: Path, change: Callable[[dict[str, bytes], dict[str, Any]], None], packed: int = 8) -> Path:
    """The same zip with changed members and facts, and a digest that fits: made by somebody who knows how."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    facts = json.loads(members.pop("calibration.json"))
    del facts["digest"]
    change(members, facts)
    digest = hashlib.sha256(json.dumps(facts, indent=1, ensure_ascii=False).encode())
    for name in ("observation.onnx", "goal.onnx"):
        if name in members:
            digest.update(b"\0" + name.encode() + b"\0" + members[name])
    members["calibration.json"] = json.dumps({**facts, "digest": digest.hexdigest()}).encode()
    with zipfile.ZipFile(path, "w", packed) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def sensing(**changed: Any) -> Callable[[dict[str, bytes], dict[str, Any]], None]:
    return lambda _, facts: facts["maps"]["observation"].update(changed)


def told(**changed: Any) -> Callable[[dict[str, bytes], dict[str, Any]], None]:
    return lambda _, facts: facts.update(changed)


def test_the_forger_of_these_tests_can_write_what_is_read(made: Calibration, tmp_path: Path) -> None:
    written = made.write(tmp_path / "arm.cal")
    assert Calibration.read(rewritten(tmp_path / "arm.cal", lambda _members, _facts: None)) == written


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (sensing(joints=[]), r"the observation map is for the joints \[\]"),
        (sensing(joints=["shoulder_pan", "shoulder_pan"]), "the observation map is for the joints"),
        (sensing(joints="shoulder_pan"), "maps.observation.joints is not a list but 'shoulder_pan'"),
        (sensing(taps={"q": [1e9], "dq": [0.0], "command": [0.005]}), "the observation map looks back"),
        (sensing(taps={"q": [float("nan")], "dq": [0.0], "command": [0.005]}), "the observation map looks back"),
        (sensing(taps={"q": [], "dq": [0.0], "command": [0.005]}), "the observation map looks back"),
        (sensing(bound=float("nan")), "a bound of nan"),
        (sensing(period=0), "a period of 0 s"),
        (sensing(extra=1), "'extra' is unknown in maps.observation"),
        (told(accepted="no"), "accepted is not bool but 'no'"),
        (told(volts=[float("nan"), 12.0]), "volts from nan to 12.0"),
        (told(volts=[5.0]), "volts is not a list of 2"),
        (told(open_volts=[float("inf")]), "a supply without load is inf"),
        (told(alike=[[0.1]]), "an arm alike has 1 numbers, not 0"),
        (told(alike=[[float("nan")]]), "a number of an arm alike is nan"),
        (told(physics={"payload": {"value": "1", "low": 0, "high": 2, "seen": True}}), "physics.payload.value is not"),
        (lambda _, facts: facts["identity"]["joints"][0].update(gains=[1]), "identity.joints.gains is not a table"),
        (lambda members, _: members.pop("observation.onnx"), "it has no observation.onnx"),
        (lambda members, _: members.update({"observation.onnx": b"rubbish"}), "observation.onnx is no ONNX network"),
    ],
)
def test_what_no_map_can_run_on_is_refused_even_with_a_fitting_digest(
    made: Calibration, tmp_path: Path, change: Any, reason: str
) -> None:
    made.write(tmp_path / "arm.cal")
    with pytest.raises(TornCalibrationError, match=reason):
        Calibration.read(rewritten(tmp_path / "arm.cal", change))


@pytest.mark.parametrize("name", ["evil.sh", "../evil", "/evil"])
def test_no_more_is_in_it_than_belongs_there(made: Calibration, tmp_path: Path, name: str) -> None:
    made.write(tmp_path / "arm.cal")
    with pytest.raises(NotCalibrationError, match=f"it holds '{name}'"):
        Calibration.read(rewritten(tmp_path / "arm.cal", lambda members, _: members.update({name: b"x"})))


def test_a_bomb_is_not_unpacked(made: Calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made.write(tmp_path / "arm.cal")
    path = rewritten(tmp_path / "arm.cal", lambda members, _: members.update({"torque.onnx": bytes(LARGEST)}))
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(NotCalibrationError, match="more than 64 MB"):
        Calibration.read(path)


@pytest.mark.parametrize("packed", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_it_is_packed_as_we_pack_it(made: Calibration, tmp_path: Path, packed: int) -> None:
    made.write(tmp_path / "arm.cal")
    with pytest.raises(NotCalibrationError, match="packed in a way"):
        Calibration.read(rewritten(tmp_path / "arm.cal", lambda _members, _facts: None, packed))


def test_one_behind_a_password_is_damaged(made: Calibration, tmp_path: Path) -> None:
    made.write(tmp_path / "arm.cal")
    data = bytearray((tmp_path / "arm.cal").read_bytes())
    data[data.find(b"PK\x01\x02") + 8] |= 1
    data[data.find(b"PK\x03\x04") + 6] |= 1
    (tmp_path / "arm.cal").write_bytes(data)
    with pytest.raises(TornCalibrationError, match="encrypted"):
        Calibration.read(tmp_path / "arm.cal")


def test_facts_that_are_nested_without_end_are_none(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "arm.cal", "w") as archive:
        archive.writestr("calibration.json", "[" * 100_000)
    with pytest.raises(NotCalibrationError, match="says no version"):
        Calibration.read(tmp_path / "arm.cal")


def test_a_map_has_its_weights_in_the_file(made: Calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = pytest.importorskip("onnx")
    (tmp_path / "weights").write_bytes(bytes(4096))
    monkeypatch.chdir(tmp_path)  # from where onnxruntime would have read them
    made.write(tmp_path / "arm.cal")

    def outside(members: dict[str, bytes], _: dict[str, Any]) -> None:
        model = onnx.load_from_string(members["observation.onnx"])
        tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
        size = len(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", "weights"), ("offset", "0"), ("length", str(size))):
            tensor.external_data.add(key=key, value=value)
        members["observation.onnx"] = model.SerializeToString()

    with pytest.raises(NotCalibrationError, match="keeps weights in 'weights', outside of this file"):
        Calibration.read(rewritten(tmp_path / "arm.cal", outside))


def test_an_earlier_version_says_so(made: Calibration, tmp_path: Path) -> None:
    made.write(tmp_path / "arm.cal")
    with pytest.raises(CalibrationVersionError, match="version 0, this software knows .*; calibrate again"):
        Calibration.read(edited(tmp_path / "arm.cal", version=0))


def test_nothing_is_left_of_what_could_not_be_written(
    made: Calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = made.write(tmp_path / "arm.cal")

    def full(path: Path, _: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        replace(made, accepted=False).write(tmp_path / "arm.cal")
    assert [file.name for file in tmp_path.iterdir()] == ["arm.cal"]
    assert Calibration.read(tmp_path / "arm.cal") == old
