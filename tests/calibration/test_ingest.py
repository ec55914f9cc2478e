from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from calibration.ingest import LogError, load_mapping, read_log

MAPPING = """
arm = "xl330-pendulum"
time = { column = "ms", unit = "ms" }
[joint.pendulum]
q = { column = "ticks", unit = "tick", offset = -1.6453 }
command = { column = "pwm", unit = "pwm", wrap = 65536 }
dq = { column = "rpm", unit = "rpm", sign = -1 }
"""


def mapping(folder: Path, text: str = MAPPING) -> Path:
    path = folder / "mapping.toml"
    path.write_text(text)
    return path


def test_a_csv_becomes_si_units(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("ms,ticks,pwm,rpm,remark\n0,2048,885,10,x\n5,2049,65093,10,\n")
    log = read_log(tmp_path / "log.csv", load_mapping(mapping(tmp_path)))
    np.testing.assert_allclose(log.time, [0.0, 0.005])
    np.testing.assert_allclose(np.diff(log.q[:, 0]), 2 * np.pi / 4096)
    np.testing.assert_allclose(log.command[:, 0], [1.0, -443 / 885])
    np.testing.assert_allclose(log.dq[:, 0], -np.pi / 3)
    assert np.isnan(log.volts).all()


def test_json_rows_may_lie_deeper_and_gaps_are_nan(tmp_path: Path) -> None:
    rows = [{"ms": 0, "ticks": 1, "pwm": 0, "rpm": 0}, {"ms": 5, "ticks": None, "pwm": 0, "rpm": 0}]
    (tmp_path / "log.json").write_text(json.dumps({"rows": rows}))
    log = read_log(tmp_path / "log.json", load_mapping(mapping(tmp_path, 'rows = "rows"\n' + MAPPING)))
    assert np.isnan(log.q[1, 0])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('unit = "ms"', 'unit = "hours"', r"mapping.toml:3: time.unit: expected one of s, ms"),
        ("joint.pendulum", "joint.elbow", r"no such joint"),
        ("command =", "comand =", r"comand: unknown"),
        ('unit = "rpm", sign = -1', 'unit = "rpm", factor = 2', r"factor: unknown key"),
    ],
)
def test_errors_in_a_mapping_name_the_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(LogError, match=message):
        load_mapping(mapping(tmp_path, MAPPING.replace(old, new)))


def test_a_log_without_a_column_says_which(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("ms,ticks,pwm\n0,1,2\n5,1,2\n")
    with pytest.raises(LogError, match="no column rpm; it has ms, ticks, pwm"):
        read_log(tmp_path / "log.csv", load_mapping(mapping(tmp_path)))
