from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.logs.ingest import LogError, load_mapping, read_log
from calibration.logs.load import arm_of, load
from calibration.logs.log import Log, make_log
from calibration.logs.twice import Fingerprint, shared
from robot_runtime.spec import load_arm

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


CSV = "ms,ticks,pwm,rpm\n0,2048,885,10\n5,2049,65093,10\n10,2050,0,10\n"


def read(folder: Path, content: str | bytes, name: str = "log.csv", rules: str = MAPPING) -> Log:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_log(folder / name, load_mapping(mapping(folder, rules)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CSV.replace("5,2049,65093,10", '5,2049,65093,"1,5"'), "log.csv: line 3: column rpm: '1,5' is no number"),
        (CSV.replace("5,2049,65093,10", "5,2049,65093,1,5"), "log.csv: line 3: 5 values, and 4 columns have names"),
        (CSV.replace("5,2049,65093,10", "5,two,65093,10"), "column ticks: 'two' is no number"),
        (CSV.replace(",", ";"), "columns are apart by ';'"),
        (CSV.replace("rpm", "ticks"), "column ticks is there 2 times"),
        ("", "log.csv: empty"),
        ("ms,ticks,pwm,rpm\n", "log.csv: empty"),
        ("ms,ticks,pwm,rpm\n0,1,2,3\n", "1 samples with a time"),
        ("ms,ticks,pwm,rpm\n10,1,2,3\n5,1,2,3\n0,1,2,3\n", "does not ascend in 2 of 2 steps"),
        (CSV.encode("utf-16"), "not a text in UTF-8"),
        ("ms,ticks,pwm,rpm\n0," + "1" * 200_000 + ",2,3\n", "not a table of numbers"),
    ],
)
def test_a_csv_that_is_not_what_it_should_be_says_where(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(LogError, match=message):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "rows", "message"),
    [
        ("[1, 2]", "", "it is no list of samples"),
        ('"text"', "", "it is no list of samples"),
        ("null", "", "it is no list of samples"),
        ('[{"ms": 0}, 5]', "", "it is no list of samples"),
        ('{"other": []}', "entries", "no key 'entries', where the mapping's rows are; it has other"),
        ('{"entries": {}}', "entries", "under 'entries' is no list of samples"),
        ("[" * 100_000, "", "not a table of numbers"),
        ('[{"ms": 0, "ticks": 1' + "0" * 400 + ', "pwm": 0, "rpm": 0}]', "", "1 samples|is no number"),
        ('[{"ms": 0, "ticks": [1], "pwm": 0, "rpm": 0}, {"ms": 5}]', "", "sample 1: column ticks"),
    ],
)
def test_a_json_that_is_not_what_it_should_be_says_where(tmp_path: Path, content: str, rows: str, message: str) -> None:
    with pytest.raises(LogError, match=message):
        read(tmp_path, content, "log.json", f'rows = "{rows}"\n' + MAPPING)


def test_what_loggers_do_to_a_csv_is_taken(tmp_path: Path) -> None:
    plain = read(tmp_path, CSV)
    for other in (b"\xef\xbb\xbf" + CSV.encode(), CSV.replace(",", " , ").encode(), CSV.replace("\n", "\r\n").encode()):
        np.testing.assert_array_equal(read(tmp_path, other).q, plain.q)
    torn = read(tmp_path, CSV + "15,20")
    assert len(torn) == len(plain)
    assert torn.findings == ("the last line breaks off and is left out",)
    flags = read(
        tmp_path,
        CSV.replace(",10\n", ",False\n"),
        rules=MAPPING.replace("dq =", "torque_on =").replace('unit = "rpm", sign = -1', "sign = 1"),
    )
    assert not flags.torque_on.any()


def test_samples_without_a_time_are_left_out_and_counted(tmp_path: Path) -> None:
    log = read(tmp_path, CSV.replace("5,2049", ",2049"))
    np.testing.assert_allclose(log.time, [0.0, 0.010])
    assert log.findings == ("1 samples without a time left out",)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            'gains = { position_p_gain = "kp" }',
            "no number under the key 'kp', which the mapping's gains name; it has none",
        ),
        ("gains = { position_p_gian = 400 }", "position_p_gian: no register of"),
        ("gains = { position_p_gain = nan }", "expected a finite number"),
        ('duty = { column = "ticks", unit = "pwm" }', "column 'ticks' is q's already"),
        ('duty = { column = "pwm", unit = "pwm", sign = 0 }', "sign: expected -1 or 1, found 0"),
        ('duty = { column = "pwm", unit = "pwm", wrap = -3 }', "wrap: expected a number above 0"),
    ],
)
def test_a_rule_that_would_mislead_is_refused(tmp_path: Path, rule: str, message: str) -> None:
    with pytest.raises(LogError, match=message):
        read(tmp_path, CSV, rules=f"{MAPPING}{rule}\n")


def test_a_mapping_without_a_joint_or_of_no_arm_says_so(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"mapping.toml:4: joint: names no joint"):
        load_mapping(mapping(tmp_path, MAPPING.split("[joint", maxsplit=1)[0] + "[joint]\n"))
    with pytest.raises(LogError, match=r"mapping.toml:2: arm: no arm 'nobody'"):
        load_mapping(mapping(tmp_path, MAPPING.replace("xl330-pendulum", "nobody")))


def test_a_log_is_given_once_and_for_the_arm_of_its_mapping(tmp_path: Path) -> None:
    rules = load_mapping(mapping(tmp_path))
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "b.csv").write_text(CSV)
    with pytest.raises(LogError, match=r"b\.csv: the same log as .*a\.csv"):
        load([tmp_path / "a.csv", tmp_path / "b.csv"], rules.spec, rules)
    with pytest.raises(LogError, match=r"mapping.toml is for the arm .*xl330-pendulum.*--arm says .*koch"):
        load([tmp_path / "a.csv"], load_arm("koch-v1.1"), rules)


def test_a_log_that_is_not_there_is_no_log_without_a_mapping(tmp_path: Path) -> None:
    for read in (arm_of, lambda paths: load(paths, load_arm("koch-v1.1"))):
        with pytest.raises(LogError, match="nosuch: no such file or folder"):
            read([tmp_path / "nosuch"])


def test_a_recording_without_a_whole_flight_names_itself(tmp_path: Path) -> None:
    (tmp_path / "recording.json").write_text('{"missing": [], "flights": []}')
    with pytest.raises(LogError, match="no whole segment"):
        arm_of([tmp_path])


def test_a_mapping_may_begin_with_a_mark_of_its_encoding(tmp_path: Path) -> None:
    file = mapping(tmp_path)
    file.write_text(file.read_text(), encoding="utf-8-sig")
    assert load_mapping(file).path == file


SWUNG = """
arm = "xl330-pendulum"
time = { column = "t", unit = "s" }
[joint.pendulum]
q = { column = "q", unit = "rad" }
command = { column = "u", unit = "1" }
"""


def swung(first: int, count: int, order: str = "tqu") -> str:
    """A log of a quarter of a minute's motion, or a piece of it, with its columns in this order."""
    t = 0.005 * np.arange(3000)
    q = np.sin(2 * t) + np.random.default_rng(1).normal(0, 0.001, len(t))
    columns = {"t": t, "q": q, "u": np.cos(3 * t)}
    rows = (",".join(f"{columns[name][k]:.6f}" for name in order) for k in range(first, first + count))
    return "\n".join([",".join(order), *rows])


@pytest.mark.parametrize(("first", "count", "order"), [(0, 3000, "uqt"), (0, 1500, "tqu"), (1000, 1000, "qut")])
def test_the_same_samples_in_another_file_are_the_same_log(first: int, count: int, order: str, tmp_path: Path) -> None:
    rules = load_mapping(mapping(tmp_path, SWUNG))
    (tmp_path / "a.csv").write_text(swung(0, 3000))
    (tmp_path / "b.csv").write_text(swung(first, count, order))
    for pair in ("ab", "ba"):
        with pytest.raises(LogError, match="the same log as"):
            load([tmp_path / f"{name}.csv" for name in pair], rules.spec, rules)


def two_joints(seed: int = 0) -> Log:
    """The same motion at every call, read by encoders whose flicker is another one for each seed."""
    time, tick = np.arange(0.0, 20.0, 0.005), 2 * np.pi / 4096
    q = np.stack([np.sin(1.3 * time), np.sin(0.7 * time)], axis=1)
    q = np.round((q + np.random.default_rng(seed).normal(0, 0.001, q.shape)) / tick) * tick
    return make_log("log", ["base", "elbow"], ["position"] * 2, time, q, q)


@pytest.mark.parametrize(
    "exported",
    [
        lambda log: log.select(["elbow"]),
        lambda log: log.cut(slice(None, None, 2)),
        lambda log: log.cut(slice(1, None, 5)),
        lambda log: replace(log, q=np.radians(np.round(np.degrees(log.q), 2)), command=log.command * 0.5),
        lambda log: replace(log, time=np.round(log.time - 7.1234, 3)).cut(slice(1500, 2500)),
    ],
)
def test_the_same_motion_thinned_out_rounded_or_of_fewer_joints_is_the_same_log(exported: Callable[[Log], Log]) -> None:
    log = two_joints()
    for one, other in ((log, exported(log)), (exported(log), log)):
        assert shared(Fingerprint.of(one), Fingerprint.of(other)) > 0.9


def test_the_same_motion_recorded_again_is_another_log() -> None:
    assert shared(Fingerprint.of(two_joints(0)), Fingerprint.of(two_joints(1))) == 0.0
    elbow = two_joints(0).select(["elbow"])
    assert shared(Fingerprint.of(elbow), Fingerprint.of(two_joints(1))) < 0.01


def test_pieces_that_have_nothing_in_common_are_two_logs(tmp_path: Path) -> None:
    rules = load_mapping(mapping(tmp_path, SWUNG))
    (tmp_path / "a.csv").write_text(swung(0, 1500))
    (tmp_path / "b.csv").write_text(swung(1500, 1500))
    assert len(load([tmp_path / "a.csv", tmp_path / "b.csv"], rules.spec, rules)) == 2


def test_arms_that_stand_look_alike_and_are_no_same_log() -> None:
    time, still = np.arange(0.0, 5.0, 0.005), np.full((1000, 1), 0.3)
    one, other = (make_log(name, ["a"], ["pwm"], time, still, still * 0.0) for name in "ab")
    assert shared(Fingerprint.of(one), Fingerprint.of(other)) == 0.0


def test_a_current_of_a_servo_that_measures_none_is_refused(tmp_path: Path) -> None:
    columns = """
q = { column = "q", unit = "rad" }
command = { column = "goal", unit = "rad" }
current = { column = "amps", unit = "A" }
"""
    text = 'arm = "koch-v1.1"\ntime = { column = "t", unit = "s" }\n'
    with pytest.raises(LogError, match=r"mapping.toml:6: joint.shoulder_pan.current: XL430-W250 measures no current"):
        load_mapping(mapping(tmp_path, f"{text}[joint.shoulder_pan]{columns}"))
    assert "current" in load_mapping(mapping(tmp_path, f"{text}[joint.gripper]{columns}")).joints["gripper"]
