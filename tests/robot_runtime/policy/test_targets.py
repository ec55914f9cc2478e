from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_runtime.flying import Inputs, Request
from robot_runtime.policy import Target, TargetError
from robot_runtime.policy.targets import FileTarget, FixedTarget, LiveTarget, StreamTarget, TargetSource, target_source

TIP = Target("tip_position", 3, low=(0.0, -0.2, 0.0), high=(0.3, 0.2, 0.3))
RESTING = Target("custom", 2, default=(1.0, 2.0))


def sampled(source: TargetSource, now: float = 1.0, inputs: Inputs | None = None) -> Inputs:
    inputs = inputs or Inputs(source.target.size if source.target else 0)
    source.sample(inputs, now)
    return inputs


def test_fixed_numbers_are_never_old() -> None:
    source = target_source("0.2,0,0.1", TIP)
    for now in (1.0, 100.0):
        inputs = sampled(source, now)
        assert inputs.target.tolist() == [0.2, 0.0, 0.1]
        assert inputs.target_stamp == now


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.2,0", r"expected 3 numbers \(x, y, z of the tip in m\), found 2"),
        ("0.2,0,0.4", r"number 3 \(0.4\) is outside 0 to 0.3, the range of the training"),
        ("0.2,0,nan", "expected finite numbers"),
        ("a,b,c", "expected numbers, a .csv or .jsonl file, or -"),
        ("missing.csv", "cannot be read"),
        (None, "this policy wants a target: --target N,N,N"),
    ],
)
def test_what_cannot_be_a_target_is_refused(text: str | None, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        target_source(text, TIP)


@pytest.mark.parametrize(
    "row",
    [
        '{"time": true, "target": [0.2, 0, 0.1]}',
        '{"time": 1%s, "target": [0.2, 0, 0.1]}' % ("0" * 400),
        '{"time": 1%s, "target": [0.2, 0, 0.1]}' % ("0" * 5000),
        '{"time": 1.0, "target": [0.2, 0, 1%s]}' % ("0" * 400),
        '{"time": 1.0, "target": [0.2, 0, 1%s]}' % ("0" * 5000),
        '{"time": 1.0, "target": %s}' % ("[" * 100_000),
    ],
)
def test_a_file_with_impossible_numbers_is_refused_by_its_line(tmp_path: Path, row: str) -> None:
    (tmp_path / "t.jsonl").write_text('{"time": 0, "target": [0.1, 0, 0.1]}\n' + row)
    with pytest.raises(TargetError, match=r"t\.jsonl:2"):
        FileTarget(tmp_path / "t.jsonl", TIP)


def test_a_table_with_impossible_cells_is_refused_by_its_line(tmp_path: Path) -> None:
    for cells in ("1.0,0.2,0," + "1" * 200_000, "1.0,0.2,0,1e400", "inf,0.2,0,0.1", "1.0"):
        (tmp_path / "t.csv").write_text("0,0.1,0,0.1\n" + cells)
        with pytest.raises(TargetError, match=r"t\.csv:2"):
            FileTarget(tmp_path / "t.csv", TIP)


def test_numbers_of_thousands_of_digits_from_a_program_are_refused() -> None:
    source = LiveTarget(TIP)
    for values in ([0.1, 0, 10**5000], [0.1, 0, [10**5000]]):
        with pytest.raises(TargetError):
            source.set(values)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_what_networks_and_cameras_give_are_numbers(kind: type[np.floating[Any]]) -> None:
    source = LiveTarget(TIP)
    source.set(np.array([0.125, 0.0, 0.25], dtype=kind))
    assert sampled(source).target.tolist() == [0.125, 0.0, 0.25]
    with pytest.raises(TargetError, match="finite"):
        source.set(np.array([0.125, 0.0, np.nan], dtype=kind))


def test_standard_input_that_is_closed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)  # what Python makes of `<&-`
    with pytest.raises(TargetError, match="standard input is closed"):
        target_source("-", TIP)
    with pytest.raises(TargetError, match="descriptor 987"):
        StreamTarget(987, TIP)


def test_there_is_nothing_to_follow_before_the_first_target(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    stream, live = StreamTarget(reader, TIP), LiveTarget(TIP)
    assert stream.descriptor == reader
    inputs = [sampled(stream), sampled(live)]
    assert [i.target_stamp for i in inputs] == [-np.inf, -np.inf]
    os.write(writer, b"[9, 9, 9]\n[0.1, 0, 0.1]\n")
    live.set([0.1, 0, 0.1])
    sampled(stream, 2.0, inputs[0])
    sampled(live, 2.0, inputs[1])
    assert [i.target_stamp for i in inputs] == [2.0, 2.0]


def test_the_first_problem_of_each_kind_is_told(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    source = StreamTarget(reader, TIP)
    told: list[str] = []
    source.tell = told.append
    for line in (b"[9, 0, 0]", b"[8, 0, 0]", b"[1]", b"what", b"ever", b"[NaN, 0, 0]"):
        os.write(writer, line + b"\n")
        sampled(source)
    assert source.ignored == 6
    assert [("range" in t, "found 1" in t, "JSON" in t, "finite" in t) for t in told] == [
        tuple(k == i for k in range(4)) for i in range(4)
    ]


def test_no_target_and_the_default() -> None:
    assert sampled(target_source(None, None)).target_stamp == -np.inf
    assert sampled(target_source(None, RESTING)).target.tolist() == [1, 2]
    with pytest.raises(TargetError, match="takes no target"):
        target_source("1,2", None)


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_a_file_holds_each_target_until_the_next(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    rows = [(0.0, [0.1, 0, 0.1]), (0.5, [0.2, 0, 0.1]), (2.0, [0.3, 0, 0.1])]
    if name.endswith("csv"):
        file.write_text("time,x,y,z\n" + "\n".join(f"{t},{','.join(map(str, v))}" for t, v in rows) + "\n")
    else:
        file.write_text("\n".join(json.dumps({"time": t, "target": v}) for t, v in rows))
    source = target_source(str(file), TIP)
    assert sampled(source, 50.0).target[0] == 0.1  # not begun
    source.begin(100.0)
    assert [sampled(source, now).target[0] for now in (100.0, 100.49, 100.5, 101.9)] == [0.1, 0.1, 0.2, 0.2]
    assert not sampled(source, 101.9).request
    assert sampled(source, 102.0).request == Request.TARGETS_ENDED


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("0,0,0,0\n1,0,0\n", "t.csv:2: expected 3 numbers"),
        ("0,0,0,0\n1,0,9,0\n", "t.csv:2: number 2 .* outside"),
        ("1,0,0,0\n1,0,0,0\n", "t.csv:2: times must ascend; 1.0 follows 1.0"),
        ("0,0,0,0\nx,0,0,0\n", "t.csv:2: expected numbers"),
        ("time,x,y,z\n", "no targets in it"),
        ("nan,0,0,0\n", "t.csv:1: expected a time"),
        ("0,0,O.1,0\n1,0,0,0\n", r"t.csv:1: expected numbers, found \['0', '0', 'O.1', '0'\]"),
        ("\ufeffx,0,0,0\n1,0,0,0\n", "t.csv:1: expected numbers"),
        ("time,x,y,z\n0,0,0,0\n", "t.csv:2: expected a last time above 0 s.*--duration"),
        ("-1,0,0,0\n", "t.csv:1: expected a last time above 0 s.*found -1;"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, body: str, message: str) -> None:
    file = tmp_path / "t.csv"
    file.write_text(body)
    with pytest.raises(TargetError, match=message):
        FileTarget(file, TIP)


def test_the_first_of_two_rows_counts_behind_the_mark_that_some_programs_begin_with(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("\ufeff0,0.1,0,0.1\n1,0.2,0,0.1\n")
    assert sampled(FileTarget(file, TIP)).target[0] == 0.1


def test_one_target_at_0_is_enough_where_somebody_says_how_long(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("0,0.1,0,0.1\n")
    assert sampled(target_source(str(file), TIP, last_holds=True)).target[0] == 0.1


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    for end in (read, write):
        with contextlib.suppress(OSError):
            os.close(end)


def test_lines_of_a_stream(pipe: tuple[int, int]) -> None:
    source, inputs = StreamTarget(pipe[0], TIP), Inputs(3)
    assert sampled(source, 1.0, inputs).target_stamp == -np.inf  # nothing yet, and it did not wait
    os.write(pipe[1], b'[0.1, 0, 0.1]\n{"target": [0.2, 0, 0.')
    assert sampled(source, 2.0, inputs).target.tolist() == [0.1, 0, 0.1]
    os.write(pipe[1], b"2]}\n")
    assert sampled(source, 3.0, inputs).target.tolist() == [0.2, 0, 0.2]
    assert sampled(source, 4.0, inputs).target_stamp == 3.0
    assert not inputs.request


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{oops", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON|line without an end"),
        (b"[1, 2]", "expected 3 numbers"),
        (b"[0, 0, 1e999]", "finite"),
        (b"[0, 0, true]", "expected 3 numbers, found"),
        (b"[0, 0, 1" + b"0" * 400 + b"]", "finite"),
        (b"[0, 0, 1" + b"0" * 5000 + b"]", "not JSON"),
        (b'{"goal": [0, 0, 0]}', "expected 3 numbers, found None"),
        (b"[0, 0, 5]", "outside 0 to 0.3"),
    ],
)
def test_a_bad_line_is_counted_and_ignored(pipe: tuple[int, int], line: bytes, problem: str) -> None:
    source, inputs = StreamTarget(pipe[0], TIP), Inputs(3)
    os.set_blocking(pipe[1], False)
    for k, part in enumerate((b"[0.1, 0, 0.1]\n", line[:50_000], line[50_000:] + b"\n", b"\n")):
        os.write(pipe[1], part)
        sampled(source, float(k), inputs)
    assert inputs.target.tolist() == [0.1, 0, 0.1]
    assert inputs.target_stamp == 0.0
    assert source.ignored == 1
    assert re.search(problem, source.problem)


def test_only_the_newest_of_many_lines_are_read(pipe: tuple[int, int]) -> None:
    source, inputs = StreamTarget(pipe[0], TIP), Inputs(3)
    os.write(pipe[1], b"bad\n" * 1000 + b"[0.1, 0, 0.1]\n")
    sampled(source, 1.0, inputs)
    assert inputs.target[0] == 0.1
    assert source.ignored == 15


def test_the_end_of_a_stream_is_told(pipe: tuple[int, int]) -> None:
    source, inputs = StreamTarget(pipe[0], TIP), Inputs(3)
    os.write(pipe[1], b"[0.1, 0, 0.1]")
    os.close(pipe[1])
    for now in (1.0, 2.0, 3.0):
        sampled(source, now, inputs)
    assert inputs.request == Request.TARGETS_ENDED
    assert inputs.target.tolist() == [0.1, 0, 0.1]  # the last line needs no end


def test_a_stream_begins_with_the_default(pipe: tuple[int, int]) -> None:
    source, inputs = StreamTarget(pipe[0], RESTING), Inputs(2)
    assert sampled(source, 1.0, inputs).target.tolist() == [1, 2]
    os.write(pipe[1], b"[5, 6]\n")
    assert sampled(source, 2.0, inputs).target.tolist() == [5, 6]


def test_a_program_sets_targets() -> None:
    source, inputs = LiveTarget(TIP), Inputs(3)
    assert sampled(source, 1.0, inputs).target_stamp == -np.inf
    source.set([0.1, 0, 0.1])
    assert sampled(source, 2.0, inputs).target_stamp == 2.0
    with pytest.raises(TargetError, match="outside"):
        source.set((0.1, 0, 9))
    assert sampled(source, 3.0, inputs).target_stamp == 2.0
    source.end()
    assert sampled(source, 4.0, inputs).request == Request.TARGETS_ENDED


def test_a_fixed_target_is_checked_in_code_too() -> None:
    with pytest.raises(TargetError):
        FixedTarget((1.0,), TIP)


def test_a_target_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"nope.csv: cannot be read: No such file or directory$"):
        FileTarget(tmp_path / "nope.csv", Target("tip_position", 3))
