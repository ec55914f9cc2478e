"""The table of faults: complete, in the documentation as in the code, and each row proven."""

from __future__ import annotations

from pathlib import Path

import pytest

from robot_runtime.safety.faults import FAULTS, Bound, Ending, FaultKind, Stop, markdown_table

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = ROOT / "docs" / "safety.md"


def test_the_document_shows_the_table() -> None:
    assert markdown_table() in DOCUMENT.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", FAULTS.values(), ids=FAULTS.keys())
def test_every_row_is_complete(kind: FaultKind) -> None:
    assert FAULTS[kind.name] is kind
    assert all((kind.hazard, kind.detection))
    assert kind.advice or kind.ending in (Ending.ASKED, Ending.COMPLETED)
    assert kind.stop is not Stop.NONE
    assert 0.0 < kind.bound.at(0.01, 0.1, 0.5) < (6.0 if kind.name == "recorder-failed" else 2.1)
    assert list(kind.proofs())


def test_tests_that_the_table_names_exist() -> None:
    files = [*Path(__file__).parent.glob("test_*.py"), *Path(__file__).parents[1].glob("test_*.py")]
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    for kind in FAULTS.values():
        for name in kind.tests:
            assert f"def {name}(" in text


def test_only_a_flight_that_ended_by_itself_is_complete() -> None:
    completed = [kind.name for kind in FAULTS.values() if kind.ending is Ending.COMPLETED]
    assert completed == ["targets-ended"]
    assert len({int(ending) for ending in Ending}) == len(Ending)


def test_a_bound_adds_its_parts() -> None:
    bound = Bound(0.1, cycles=3, watchdogs=1, silences=2)
    assert bound.at(0.01, 0.2, 0.5) == pytest.approx(0.1 + 0.03 + 0.2 + 1.0)
    assert str(bound) == "100 ms + the servo watchdog + the silence allowed + 3 cycles"
