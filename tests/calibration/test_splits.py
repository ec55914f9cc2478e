from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.excitation.spans import Span
from calibration.logs.ingest import load_mapping
from calibration.logs.load import Loaded, UnfinishedRecordingError, load, told_apart
from calibration.logs.log import make_log
from calibration.logs.splits import GAP, splits
from robot_runtime.spec import load_arm

MAPPING = """
arm = "xl330-pendulum"
time = { column = "t", unit = "s" }
[joint.pendulum]
q = { column = "angle", unit = "rad" }
command = { column = "duty", unit = "1" }
"""


def loaded(name: str = "log", spans: tuple[Span, ...] = ()) -> Loaded:
    time = np.arange(0.0, 20.0, 0.01)
    q = np.sin(time)[:, None]
    return Loaded(make_log(name, ["a"], ["pwm"], time, q, q), None, "", None, spans)


def test_a_segment_that_was_made_for_judging_is_held_out() -> None:
    names = ("sweep-1", "cruise-1", "fourier-1-check")
    spans = tuple(Span(name, name.split("-")[0], 6.0 * i, 6.0 * i + 5.0, whole=True) for i, name in enumerate(names))
    main, *others = splits([loaded(spans=spans)])
    assert main.name == "fourier-1-check"
    assert [u.name for u in main.train] == ["sweep-1", "cruise-1"]
    assert sorted(split.name for split in others) == ["cruise-1", "sweep-1"]  # the third would be the first again


def test_of_several_logs_whole_ones_are_held_out() -> None:
    main, *others = splits([loaded(f"log {i}") for i in range(6)])
    assert {u.log for u in main.test}.isdisjoint(u.log for u in main.train)
    assert all(u.rows.all() for u in main.test)
    assert len(others) == 3


def test_logs_without_segments_are_fitted_to_beside_a_recording() -> None:
    """They are listed in arm.cal, and its volts and temperatures are theirs as well."""
    spans = tuple(
        Span(name, "sweep", 6.0 * i, 6.0 * i + 5.0, whole=True) for i, name in enumerate(("sweep-1", "sweep-2"))
    )
    check = Span("fourier-1-check", "fourier", 12.0, 17.0, whole=True)
    main, *others = splits([loaded("monday"), loaded("recording", (*spans, check)), loaded("tuesday")])
    assert main.name == "fourier-1-check"
    assert [u.name for u in main.train] == ["monday", "sweep-1", "sweep-2", "tuesday"]
    assert {u.log for u in main.train} == {0, 1, 2}
    assert all(u.rows.all() for u in main.train if u.log != 1)
    assert {u.name for split in others for u in split.test} >= {"monday", "tuesday"}


def test_logs_of_equal_names_get_names_of_their_own() -> None:
    files = [
        Path("/data/run1/log.csv"),
        Path("/data/run2/log.csv"),
        Path("/old/run2/log.csv"),
        Path("/data/b.csv"),
        None,
    ]
    same = [replace(loaded("b" if file and file.stem == "b" else "log"), file=file) for file in files]
    found = told_apart(same)
    assert [one.log.name for one in found] == ["run1/log", "run2/log", "run2/log (2)", "b", "log"]
    assert [one.log.name for one in told_apart(found)] == [one.log.name for one in found]
    plain = told_apart([loaded("log"), loaded("log"), loaded("log (2)")])
    assert len({one.log.name for one in plain}) == 3


def test_files_of_equal_names_are_loaded_under_different_ones(tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(MAPPING)
    for k in range(3):
        time = np.arange(0.0, 5.0, 0.01)
        rows = "\n".join(f"{t:.3f},{np.sin((1 + k) * t):.5f},{np.cos((1 + k) * t):.5f}" for t in time)
        (tmp_path / f"run{k}").mkdir()
        (tmp_path / f"run{k}" / "log.csv").write_text(f"t,angle,duty\n{rows}\n")
    spec = load_arm("xl330-pendulum")
    found = load([tmp_path / f"run{k}" / "log.csv" for k in range(3)], spec, load_mapping(mapping))
    assert [one.log.name for one in found] == ["run0/log", "run1/log", "run2/log"]
    assert len({split.name for split in splits(found)}) == len(splits(found))
    assert len({one.log.name: one.digest for one in found}) == 3


def test_a_log_alone_is_held_out_by_blocks_that_do_not_touch() -> None:
    one = loaded()
    main, *_ = splits([one])
    assert main.name == "block 5"
    seen = np.any([u.rows for u in main.train], axis=0)
    unseen = main.test[0].rows
    assert one.log.time[unseen].min() - one.log.time[seen].max() >= GAP - 0.011


@pytest.mark.parametrize("pause", [60.0, 3600.0])
def test_a_pause_leaves_no_block_empty(pause: float) -> None:
    one = loaded()
    later = one.log.time + pause * (one.log.time > 7.0)
    main, *others = splits([replace(one, log=replace(one.log, time=later))])
    sizes = [u.rows.sum() for u in (*main.train, *main.test)]
    assert len(sizes) == 5
    assert min(sizes) > 0.8 * max(sizes)
    assert len(others) == 3


def test_half_a_recording_is_refused_unless_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "recording.json").write_text(json.dumps({"missing": ["chirp-1"], "flights": []}))
    with pytest.raises(UnfinishedRecordingError, match="never flown to the end: chirp-1; go on with"):
        load([tmp_path], load_arm("xl330-pendulum"))
