"""What the writer publishes is what a reader sees, whole, and nothing before."""

from __future__ import annotations

import os
import threading

import numpy as np

from robot_runtime.flying import Phase
from robot_runtime.snapshot import TEXT, About, Snapshot, SnapshotReader


def about(joints: int = 2) -> About:
    names = tuple(f"j{i}" for i in range(joints))
    ones = (1.0,) * joints
    return About("arm", "p.onnx", 0.005, names, ("current",) * joints, (-1.0,) * joints, ones, ones, (70.0,) * joints,
                 reasons=("position", "jerk"), target_size=3)  # fmt: skip


def pair() -> tuple[Snapshot, SnapshotReader]:
    writer = Snapshot(about())
    return writer, SnapshotReader(os.dup(writer.fd))


def test_a_reader_sees_what_was_published_and_nothing_before() -> None:
    writer, reader = pair()
    assert reader.about == about()
    assert reader.read() is None
    writer.row["q"][0] = [0.25, -0.5]
    writer.row["phase"][0] = Phase.RUN
    assert reader.read() is None
    writer.publish()
    writer.row["q"][0] = 9.0
    frame = reader.read()
    assert frame is not None
    assert frame["q"].tolist() == [0.25, -0.5]
    assert frame["phase"] == Phase.RUN
    assert frame["interventions"].shape == (2, 2)
    writer.close()
    writer.close()
    assert reader.read() is not None


def test_the_newest_events_are_kept() -> None:
    writer, reader = pair()
    for k in range(200):
        writer.say(f"event {k}, with some words about it")
    writer.say("ß" * TEXT)  # too long by itself
    writer.say("the last")
    writer.publish()
    frame = reader.read()
    assert frame is not None
    assert frame["events"] == 202
    assert bytes(frame["text"]).decode(errors="replace").endswith("the last")


def test_no_frame_is_half_old_and_half_new() -> None:
    writer, reader = pair()
    done = threading.Event()

    def write() -> None:
        for k in range(20_000):
            for name in ("q", "target"):
                writer.row[name][0] = k
            writer.publish()
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    seen = 0
    while not done.is_set():
        frame = reader.read()
        if frame is not None:
            seen += 1
            assert np.unique(np.concatenate([frame["q"], frame["target"]])).size == 1
    thread.join()
    assert seen
