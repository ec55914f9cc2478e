"""What a study file may say, and the runs that follow from it."""

from pathlib import Path

import pytest

from sim.transfer.files import same_run
from sim.transfer.study import SHIPPED, StudyError, load_study
from tests.sim.transfer.small import TEXT, cell_of, small_study


@pytest.mark.parametrize("name", sorted(file.stem for file in SHIPPED.glob("*.toml")))
def test_every_study_that_ships_can_be_run(name: str) -> None:
    study = load_study(name)
    cells = study.cells()
    assert study.name == name
    assert len({cell.id for cell in cells}) == len(cells)
    done: set[str] = set()
    for cell in cells:
        assert cell.base is None or cell.base in done
        assert all(strategy is not None for strategy in cell.strategies)
        done.add(cell.id)


def test_the_matrix_is_seeds_by_strategies_by_targets(tmp_path: Path) -> None:
    cells = small_study(tmp_path).cells()
    assert [cell.id for cell in cells] == [
        "source-1",
        "zeroshot-short-1",
        "zeroshot-slippery-1",
        "residual-maps-short-1",
        "residual-maps-slippery-1",
        "scratch-short-1",
        "stacked-1-slippery-1",
        "stacked-2-short-1",
    ]
    assert [cell.base for cell in cells[-3:]] == [None, "source-1", "stacked-1-slippery-1"]


def test_a_strategy_can_have_some_of_the_seeds(tmp_path: Path) -> None:
    path = tmp_path / "fewer.toml"
    path.write_text(TEXT.replace("seeds = [1]", "seeds = [1, 2]").replace('only = ["short"]', "seeds = [2]"))
    ids = [cell.id for cell in load_study(str(path)).cells()]
    assert [i for i in ids if i.startswith("scratch")] == ["scratch-short-2", "scratch-slippery-2"]
    assert {"zeroshot-short-1", "zeroshot-short-2"} <= set(ids)


def test_a_result_belongs_to_the_run_that_made_it(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    cell = cell_of(study, "residual-maps-short-1")
    written = cell.definition
    assert same_run(written, cell.definition)
    assert not same_run(written, cell_of(study.scaled(2.0), cell.id).definition)
    newer = {**written, "settings": {**written["settings"], "invented_later": 1}}
    assert same_run(written, newer)
    assert not same_run(written, {**written, "settings": {**written["settings"], "gamma": 0.5}})


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('task = "walker2d"', 'task = "fly"', "no task 'fly'"),
        ("seeds = [1]", "seeds = [1, 1]", "seeds are different"),
        ("seeds = [1]", "sedes = [1]", "no key 'sedes'"),
        ("horizon = 8", "horizons = 8", "no key 'horizons'"),
        ('body = "short"', 'body = "shrot"', "shrot"),
        ('body = "short"', "heads = 2", "no key 'heads'"),
        ("friction = 0.4", "friction = -0.4", "not -0.4"),
        ("residual-maps = { steps = 128 }", "residual-maps = {}", "say for how many steps"),
        ("residual-maps =", "residul-maps =", "no strategy 'residul-maps'"),
        ('only = ["short"]', 'only = ["tall"]', "no target 'tall'"),
        ('only = ["short"]', "seeds = [2]", "no seed 2; there are 1"),
        ('only = ["short"]', "seeds = 1", "seeds is a list"),
        ("[source]\nsteps = 128", "[source]", "'steps' is missing"),
        ("steps = 64,", "steps = 64, noise = [0.1, 0.0],", "noise"),
        ("[targets]", "[targets", "not valid TOML"),
    ],
)
def test_mistakes_are_named_before_anything_runs(tmp_path: Path, old: str, new: str, why: str) -> None:
    assert old in TEXT
    path = tmp_path / "wrong.toml"
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(StudyError, match=why) as error:
        load_study(str(path))
    assert "wrong.toml" in str(error.value)


def test_an_unknown_study_tells_those_that_ship() -> None:
    with pytest.raises(StudyError, match="walker-seed"):
        load_study("walker-sead")
