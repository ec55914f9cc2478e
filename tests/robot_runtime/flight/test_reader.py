"""Whatever is left of a file is read, and what is wrong with it is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.summary import Summary

from robot_runtime.flight.flight_file import CDR
from robot_runtime.flight.layout import TOPICS
from robot_runtime.flight.reader import FlightError, read_flight
from tests.robot_runtime.flight.flights import record_twin


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flight") / "a.mcap"
    record_twin(path, cycles=400, parts=4)
    return path


MAGIC = 8
"""Bytes that end every MCAP file."""


def test_a_file_torn_anywhere_gives_what_is_before(whole: Path, tmp_path: Path) -> None:
    data, flight, torn = whole.read_bytes(), read_flight(whole), tmp_path / "torn.mcap"
    counts: list[int] = []
    for size in range(0, len(data) - MAGIC, 997):  # what lacks this alone lacks nothing
        torn.write_bytes(data[:size])
        try:
            part = read_flight(torn)
        except FlightError:
            assert not counts  # only as long as not even the layout is there
            continue
        assert part.truncated
        assert part.damage
        counts.append(len(part))
        for name, column in part.columns.items():
            assert column.tobytes() == flight[name][: len(part)].tobytes()
    assert counts == sorted(counts)
    assert counts[-1] == len(flight)
    assert 0 in counts


def summary(path: Path) -> Summary:
    with path.open("rb") as file:
        found = make_reader(file, validate_crcs=True).get_summary()
    assert found is not None
    return found


def flip(path: Path, at: int, copy: Path) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    copy.write_bytes(data)


def test_a_flipped_byte_costs_its_chunk_and_no_more(whole: Path, tmp_path: Path) -> None:
    chunks = summary(whole).chunk_indexes
    assert len(chunks) > 2
    middle = chunks[len(chunks) // 2]
    flip(whole, middle.chunk_start_offset + middle.chunk_length // 2, tmp_path / "a.mcap")
    part, flight = read_flight(tmp_path / "a.mcap"), read_flight(whole)
    assert part.truncated
    assert 0 < len(part) < len(flight)
    rows = np.searchsorted(flight["cycle"], part["cycle"])
    assert part["q"].tobytes() == flight["q"][rows].tobytes()


def test_a_damaged_attachment_is_left_out(whole: Path, tmp_path: Path) -> None:
    attachment = next(a for a in summary(whole).attachment_indexes if a.name == "arm/arm.xml")
    flip(whole, attachment.offset + attachment.length // 2, tmp_path / "a.mcap")
    part = read_flight(tmp_path / "a.mcap")
    assert "arm.xml" in part.damage[0]
    assert list(part.attachments) == ["arm/arm.toml"]
    assert len(part) == len(read_flight(whole))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89MCAP0\r\n"])
def test_what_is_no_flight_is_an_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mcap").write_bytes(content)
    with pytest.raises(FlightError, match=r"a\.mcap"):
        read_flight(tmp_path / "a.mcap")


def test_other_readers_read_it_too(whole: Path) -> None:
    flight = read_flight(whole)
    with whole.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        index = summary(whole)
        assert {c.topic for c in index.channels.values()} >= {
            *(f"/{t}" for t in TOPICS if t in flight.layout.topics),
            "/events",
            "/raw",
            "/joint_states",
        }
        encodings = {c.topic: (c.message_encoding, index.schemas[c.schema_id]) for c in index.channels.values()}
        assert encodings["/events"][1].name == "foxglove.Log"
        assert encodings["/joint_states"][1].name == "foxglove.JointStates"
        assert encodings["/joint_state"][0] == "cdr"
        assert encodings["/joint_state"][1].encoding == "ros2msg"
        first = next(m for _, _, m in reader.iter_messages("/joint_state"))
        assert first.data[:4] == CDR
        count = len(flight.layout.joints)
        assert np.frombuffer(first.data, "<f8", count, 4).tobytes() == flight["q"][0].tobytes()


@pytest.mark.parametrize(("old", "new"), [(b'"joints": ', b'"joints"; '), (b'"modes": [', b'"modes":  7')])
def test_a_flight_that_misdescribes_itself_is_an_error(whole: Path, tmp_path: Path, old: bytes, new: bytes) -> None:
    data = whole.read_bytes()
    assert data.count(old) > 0
    (tmp_path / "a.mcap").write_bytes(data.replace(old, new))
    with pytest.raises(FlightError, match=r"a\.mcap: what it says of itself is damaged"):
        read_flight(tmp_path / "a.mcap")


def test_a_flight_that_another_version_laid_out_is_refused(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOPICS, "command", TOPICS["command"][:1])
    with pytest.raises(FlightError, match=r"a\.mcap: its /command is laid out otherwise than here"):
        read_flight(whole)
