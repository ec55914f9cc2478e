from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robot_runtime.flight.layout import TOPICS, CycleLayout
from tests.robot_runtime.flight.flights import SMALL


def test_every_number_is_aligned_as_cdr_wants_it() -> None:
    for layout in (SMALL, CycleLayout(("a",) * 7, ("position",) * 7, 33, 7, 0)):
        for topic, where in layout.topics.items():
            assert where.start % 8 == 0
            piece = layout.topic(topic)
            for name in piece.names or ():
                assert piece.fields is not None
                kind, offset = piece.fields[name][:2]
                assert offset % kind.base.itemsize == 0, f"{topic}.{name}"
                assert layout.offset(name) == where.start + offset


def test_the_cycle_is_written_last() -> None:
    assert list(TOPICS)[-1] == "timing"


def test_the_page_names_every_column() -> None:
    page = (Path(__file__).parents[3] / "docs" / "commands" / "robot-report.md").read_text(encoding="utf-8")
    columns = [quantity.name for quantities in TOPICS.values() for quantity in quantities]
    assert [name for name in columns if f"`{name}`" not in page and f"/{name}`" not in page] == []


def test_a_policy_without_targets_has_no_target() -> None:
    layout = CycleLayout(("a",), ("position",))
    assert "observation" not in layout.topics
    assert "target" not in layout.names
    assert "target_stamp" in layout.names


def test_schema_names_the_joints() -> None:
    name, text = SMALL.schema("command")
    assert name == "robot_flight/msg/Command"
    assert b"float64 pan\nfloat64 wrist_roll\n" in text
    assert text.count(b"MSG: robot_flight/JointsFloat64") == 1


def test_joints_whose_names_are_alike_stay_apart() -> None:
    _, text = CycleLayout(("A b", "a-b", "1"), ("position",) * 3).schema("mapped_state")
    assert text.endswith(b"float64 a_b\nfloat64 joint_1_a_b\nfloat64 joint_2_1\n")


def test_json_round_trip() -> None:
    assert CycleLayout.from_json(SMALL.as_json()) == SMALL


def test_views_are_live() -> None:
    row = np.zeros(1, SMALL.dtype)
    views = SMALL.views(row)
    views["q"][1] = 2.5
    views["cycle"][0] = 3
    assert row["q"][0, 1] == 2.5
    assert row["cycle"][0, 0] == 3
    with pytest.raises(KeyError):
        views["nothing"]


def test_a_topic_of_single_numbers_is_written_at_once() -> None:
    row = np.zeros(1, SMALL.dtype)
    write, views = SMALL.packer("timing", row.view(np.uint8).data), SMALL.views(row)
    values = [3 + k if q.kind != "?" else k % 2 for k, q in enumerate(TOPICS["timing"])]
    write(*values)
    assert [views[q.name][0] for q in TOPICS["timing"]] == values
    with pytest.raises(KeyError):
        SMALL.packer("q", row.view(np.uint8).data)
