"""robot-report from its arguments to its page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from robot_runtime.cli.report import main
from robot_runtime.flight.recorder import Recorder
from tests.robot_runtime.flight.flights import SMALL, fill, record_twin


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flight") / "a.mcap"
    record_twin(path, cycles=300)
    return path


class Tags(HTMLParser):
    """Which tags there are, and whether all are closed in turn."""

    ALONE = ("meta", "br", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.ALONE:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_one_page_with_everything_and_nothing_from_elsewhere(flight: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(flight)]) == 0
    page = flight.with_suffix(".html").read_text()
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    assert "script" not in tags.seen
    assert not tags.links
    assert tags.seen.count("svg") >= 5 * 3 + 5 + 2  # three a joint, five of timing, heat and voltage
    for text in ("completed", "joint1", "gripper", "limits -2 to 2", "Provenance", "--clip"):
        assert text in page
    out = capsys.readouterr().out
    assert "300 cycles" in out
    assert str(flight.with_suffix(".html")) in out


def test_the_limits_that_stepped_in_are_told_by_joint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "b.mcap"
    with Recorder(path, SMALL, {"session": {"arm": "b"}}, waits=True) as recorder:
        for k in range(100):
            recorder.row["interventions"][1] = 0b11 if k < 10 else 0b10 if k < 50 else 0
            fill(recorder, k)
    main([str(path)])
    first, second = SMALL.reasons[:2]
    told = f"limits stepped in for {SMALL.joints[1]}: {second} in 50.0%, {first} in 10.0% of the cycles"
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("limits")] == [told]


def test_json_gives_the_numbers_and_writes_no_page(flight: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = flight.with_suffix(".html")
    page.unlink(missing_ok=True)
    assert main([str(flight), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["cycles"] == 300
    assert told["rate"] == pytest.approx(200.0)
    assert told["verdict"]["exit_code"] == 0
    assert told["page"] is None
    assert not page.exists()


def test_a_torn_flight_is_shown_with_what_is_wrong(flight: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.mcap"
    torn.write_bytes(flight.read_bytes()[:-300])
    assert main([str(torn), "--out", str(tmp_path / "page.html")]) == 1
    page = (tmp_path / "page.html").read_text()
    assert "breaks off" in page


def test_a_flight_that_never_flew(tmp_path: Path) -> None:
    record_twin(tmp_path / "a.mcap", cycles=0)
    assert main([str(tmp_path / "a.mcap")]) == 0
    assert "no cycles" in (tmp_path / "a.html").read_text()


def test_what_is_no_flight(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.mcap").write_bytes(b"hello")
    assert main([str(tmp_path / "a.mcap")]) == 2
    assert "no MCAP file" in capsys.readouterr().err
