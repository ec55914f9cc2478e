"""From results to tables and a page."""

import csv
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sim.transfer.charts import Axis
from sim.transfer.cli import main
from sim.transfer.page import page
from sim.transfer.results import OverSeeds, early_returns, over_seeds, read_results, steps_to_scratch, write_tables
from sim.transfer.study import Study
from tests.sim.transfer.small import InlinePool, small_study


def result(strategy: str, seed: int, returns: list[float], field: float = 0.0, target: str = "short") -> dict[str, Any]:
    steps = [100 * (k + 1) for k in range(len(returns))]
    curve = {"steps": steps, "return": returns, "success": [0.0] * len(steps), "seconds": [s / 50 for s in steps]}
    trial = {"mean": field, "sd": 1.0, "length": 10.0, "success": 0.0, "error": 0.0, "returns": [field]}
    return {
        "id": f"{strategy}-{target}-{seed}",
        "strategy": strategy,
        "target": target,
        "seed": seed,
        "steps": steps[-1] if steps else 0,
        "seconds": 3.0,
        "trial_seconds": 1.0,
        "std": 0.2,
        "frozen_tensors_unchanged": 0,
        "maps_off_is_base": None,
        "published": trial,
        "field": trial,
        "curve": curve,
        "definition": {"parts": [strategy]},
    }


RESULTS = [
    result("scratch", 1, [float(10 * k) for k in range(1, 11)], field=100),
    result("scratch", 2, [float(10 * k) for k in range(1, 11)], field=110),
    result("fine-tune", 1, [50.0, 95.0], field=90),
    result("fine-tune", 2, [50.0, 60.0], field=94),
    result("zeroshot", 1, [], field=10),
]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return small_study(tmp_path)


def test_an_interval_is_students_and_one_seed_has_none() -> None:
    figure = over_seeds(RESULTS, "field")["scratch", "short"]
    assert figure.mean == 105
    assert figure.half == pytest.approx(12.706 * 50**0.5 / 2**0.5)
    assert math.isnan(OverSeeds((3.0,)).half)


def test_samples_to_what_scratch_reaches() -> None:
    found = steps_to_scratch(RESULTS)
    assert found["fine-tune", "short"] == [200, None]
    assert found["scratch", "short"] == [900, 900]
    assert ("zeroshot", "short") not in found


def test_early_returns_are_those_at_a_share_of_scratchs_steps() -> None:
    found = early_returns(RESULTS)
    assert found["scratch", "short"].values == (10.0, 10.0)
    assert found["fine-tune", "short"].values == (50.0, 50.0)


def test_tables_have_a_row_a_run_and_a_row_a_point(tmp_path: Path) -> None:
    write_tables(tmp_path, RESULTS)
    rows = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
    assert [row["id"] for row in rows] == [r["id"] for r in RESULTS]
    assert rows[0]["field_mean"] == "100"
    assert rows[0]["back_home_mean"] == ""
    assert len((tmp_path / "curves.csv").read_text().splitlines()) - 1 == 24


def test_a_logarithmic_axis() -> None:
    axis = Axis(1.0, 1000.0, 0.0, 300.0, log=True)
    assert axis.at(10.0) == pytest.approx(100.0)
    assert [text for _, text in axis.marks()] == ["1", "10", "100", "1k"]


class Tags(HTMLParser):
    """Finds what is opened and never closed, and what is loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_stands_alone(study: Study, tmp_path: Path) -> None:
    text = page(study, RESULTS, tmp_path)
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert all(link.startswith("data:") for link in tags.links)
    assert "nan" not in re.sub(r"[a-z]*nan[a-z]+", "", text)
    assert "5 of 8 runs finished" in text


def test_a_page_of_nothing(study: Study, tmp_path: Path) -> None:
    assert "0 of 8 runs finished" in page(study, [], tmp_path)


def test_the_command_runs_and_draws(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sim.transfer.cli.LocalPool", lambda workers: InlinePool())
    folder = tmp_path / "out"
    assert main(["run", str(tmp_path / "small.toml"), "--out", str(folder), "--no-films"]) == 0
    assert "8 of 8 runs are finished" in capsys.readouterr().out
    assert len(read_results(folder, study)) == 8
    assert main(["page", str(folder), "--no-films", "--json"]) == 0
    assert '"runs": 8' in capsys.readouterr().out
    text = (folder / "index.html").read_text()
    assert "base, bit for bit" in text
    assert "Return over friction" not in text  # one target is no sweep


def test_bad_usage_is_told_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "walker-sead"]) == 2
    assert main(["page", str(tmp_path)]) == 2
    assert main(["run", "smoke", "--out", str(tmp_path / "x"), "--workers", "0"]) == 2
    said = capsys.readouterr().err
    assert said.count("error: ") == 3
    assert "Traceback" not in said
