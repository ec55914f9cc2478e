from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.excitation.spans import Span
from calibration.logs.load import Loaded, UnfinishedRecordingError, load
from calibration.logs.log import make_log
from calibration.logs.splits import GAP, splits
from robot_runtime.spec import load_arm


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
    assert sorted(split.name for split in others) == sorted(names)


def test_of_several_logs_whole_ones_are_held_out() -> None:
    main, *others = splits([loaded(f"log {i}") for i in range(6)])
    assert {u.log for u in main.test}.isdisjoint(u.log for u in main.train)
    assert all(u.rows.all() for u in main.test)
    assert len(others) == 3


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
