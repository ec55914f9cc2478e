import tomllib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from sim.twin.gap import LEAST_STALL, SHIPPED, BusGap, Gap, GapError, JointGap, SupplyGap, load_gap


def write(folder: Path, text: str) -> Path:
    file = folder / "gap.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_no_gap_changes_no_figure_of_the_data_files() -> None:
    gap = load_gap("none")
    joint = gap.joint("any")
    factors = (joint.link_mass, joint.torque_constant, joint.resistance, joint.armature, joint.coulomb, joint.viscous)
    assert set(factors) == {1.0}
    assert (joint.load_friction, gap.supply.voltage_factor) == (1.0, 1.0)
    assert (joint.offset, joint.current_bias, joint.position_noise, gap.payload, gap.command_delay) == (0, 0, 0, 0, 0)
    assert joint.backlash is None
    assert joint.velocity_lag is None


def test_mild_shows_every_key() -> None:
    data = tomllib.loads((SHIPPED / "mild.toml").read_text(encoding="utf-8"))
    for table, kind in (("all", JointGap), ("supply", SupplyGap), ("bus", BusGap)):
        assert set(data[table]) == {f.name for f in fields(kind)}
    assert set(data) == {"name", "payload", "command_delay", "ambient", "all", "supply", "bus"}


def test_every_figure_of_the_shipped_gaps_has_its_reason() -> None:
    for file in SHIPPED.glob("*.toml"):
        for line in file.read_text(encoding="utf-8").splitlines():
            if "=" in line.split("#")[0] and not line.startswith("name"):
                assert len(line.partition("#")[2].split()) >= 3, f"{file.name}: {line}"


def test_harsh_is_worse_than_mild_in_everything() -> None:
    mild, harsh = load_gap("mild"), load_gap("harsh")
    assert harsh.payload > mild.payload
    assert harsh.command_delay > mild.command_delay
    assert harsh.supply.internal_resistance > mild.supply.internal_resistance
    assert harsh.bus.latency_timer > mild.bus.latency_timer
    for f in fields(JointGap):
        at = [getattr(gap.every, f.name) for gap in (mild, harsh)]
        distance = [abs(np.log(v)) if f.name in ("link_mass", "torque_constant", "resistance") else abs(v) for v in at]
        if f.name == "least_stall":
            distance = [1.0 - v for v in at]
        assert distance[1] > distance[0], f.name


def test_a_joint_overrides_what_holds_for_all(tmp_path: Path) -> None:
    gap = load_gap(
        write(tmp_path, "[all]\ncoulomb = 2\noffset = 0.01\n[joint.elbow]\noffset = -0.02\n[bus]\nframe = 0.001\n")
    )
    assert (gap.joint("elbow").coulomb, gap.joint("elbow").offset) == (2.0, -0.02)
    assert (gap.joint("wrist").coulomb, gap.joint("wrist").offset) == (2.0, 0.01)
    assert gap.name == "gap"
    assert gap.bus == BusGap(frame=0.001)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "payload = 0.1\npaylode = 0.2\n",
            "line 2: key 'paylode' is not known; known: ambient, command_delay, name, p",
        ),
        ("[bus]\nframe = 1\n[all]\n# frame\nframe = 1\n", r"line 5: key 'frame' in \[all\] is not known"),
        ("[all]\ncoulomb = 2\n\n[joint.elbow]\ncolomb = 2\n", r"line 5: key 'colomb' in \[joint.elbow\] is not known"),
        ("[sensing]\nnoise = 1\n", "line 1: key 'sensing' is not known"),
        ("[all]\nlink_mass = 0\n", "line 2: key 'link_mass' in .all. is a factor and must be positive, not 0"),
        (
            "[supply]\ninternal_resistance = -0.1\n",
            "line 2: key 'internal_resistance' in .supply. must not be negative",
        ),
        ("\n\n[all]\nbacklash = '1 degree'\n", "line 4: key 'backlash' in .all. must be a number, not '1 degree'"),
        ("command_delay = true\n", "line 1: key 'command_delay' must be a number"),
        ("[all\n", "not valid TOML"),
    ],
)
def test_an_error_names_key_and_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(GapError, match=complaint):
        load_gap(write(tmp_path, text))


def test_an_unknown_gap_is_told_which_there_are() -> None:
    with pytest.raises(GapError, match="one of none, harsh, mild"):
        load_gap("medium")


def test_a_joint_that_the_arm_lacks_is_an_error(tmp_path: Path) -> None:
    gap = load_gap(write(tmp_path, "[joint.tail]\noffset = 0.1\n"))
    with pytest.raises(GapError, match="no joint tail in this arm; it has elbow, wrist"):
        gap.check_joints(("elbow", "wrist"))


def test_a_drawn_gap_is_the_same_for_a_seed_and_differs_by_joint() -> None:
    gap = load_gap("random:7")
    assert gap == Gap.random(7)
    assert gap.joint("elbow") == Gap.random(7).joint("elbow")
    assert gap.joint("elbow") != gap.joint("wrist")
    assert gap.joint("elbow") != Gap.random(8).joint("elbow")


def test_drawn_gaps_stay_in_their_ranges_and_fill_them() -> None:
    gaps = [Gap.random(seed) for seed in range(200)]
    joints = [gap.joint(name) for gap in gaps for name in ("a", "b")]
    ranges = {
        "link_mass": (0.8, 1.2),
        "coulomb": (0.5, 3.0),
        "viscous": (0.5, 3.0),
        "load_friction": (0.5, 3.0),
        "torque_constant": (0.85, 1.15),
        "offset": (-np.deg2rad(3), np.deg2rad(3)),
        "backlash": (0.0, np.deg2rad(1)),
        "velocity_lag": (0.010, 0.040),
    }
    for name, (low, high) in ranges.items():
        values = np.array([getattr(joint, name) for joint in joints])
        assert low <= values.min() < low + 0.1 * (high - low), name
        assert high - 0.1 * (high - low) < values.max() <= high, name
    delays = [gap.command_delay for gap in gaps]
    assert 0 <= min(delays) < 0.003
    assert 0.027 < max(delays) <= 0.030


def test_no_drawn_gap_takes_more_than_a_tenth_of_the_stall_torque() -> None:
    assert {Gap.random(seed).joint("any").least_stall for seed in range(5)} == {LEAST_STALL}
    for nominal in (0.05, 0.222, 0.365):
        stall = 1.0 - JointGap(load_friction=3.0, least_stall=LEAST_STALL).load_share(nominal)
        assert stall == pytest.approx(LEAST_STALL * (1.0 - nominal))
        assert stall > 0.5  # below it gears lock themselves
        assert JointGap(load_friction=0.5, least_stall=LEAST_STALL).load_share(nominal) == pytest.approx(0.5 * nominal)
        assert JointGap(least_stall=LEAST_STALL).load_share(nominal) == nominal
    assert JointGap(load_friction=9.0).load_share(0.05) == 0.45  # what a file says, it means
