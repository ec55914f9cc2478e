from __future__ import annotations

import io
import json
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from robot_runtime.calibrated.errors import (
    ArmCalError,
    CalibrationDigestError,
    CalibrationVersionError,
    NotCalibrationError,
    TornCalibrationError,
)
from robot_runtime.calibrated.file import Calibration
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
    with pytest.raises(CalibrationVersionError, match="version 2, this software knows 1"):
        Calibration.read(edited(tmp_path / "arm.cal", version=2))


def test_who_edits_it_is_found_out(made: Calibration, tmp_path: Path) -> None:
    replace(made, accepted=False).write(tmp_path / "arm.cal")
    with pytest.raises(CalibrationDigestError, match="edited"):
        Calibration.read(edited(tmp_path / "arm.cal", accepted=True))


def test_a_missing_part_is_torn(made: Calibration, tmp_path: Path) -> None:
    made.write(tmp_path / "arm.cal")
    with pytest.raises(TornCalibrationError, match="incomplete"):
        Calibration.read(edited(tmp_path / "arm.cal", physics=None))
