from __future__ import annotations

import numpy as np
import pytest

from calibration.logs.splits import Split
from calibration.maps.residuals import LEVELS, choose

SPLITS = [Split("main", (), ()), Split("other", (), ())]


@pytest.mark.parametrize(
    ("errors", "level"),
    [
        ({"linear": (0.5, 0.6), "networks": (0.3, 0.4)}, "networks"),
        ({"linear": (0.5, 0.6), "networks": (0.3, 0.58)}, "linear"),  # 3 % on the other split: luck
        ({"linear": (0.5, 0.95), "networks": (0.1, 0.1)}, "physics"),  # nothing stands on what did not earn its place
        ({"linear": (1.2, 0.2), "networks": (0.1, 0.1)}, "physics"),
    ],
)
def test_a_level_ships_only_if_it_earns_its_place_on_every_split(
    errors: dict[str, tuple[float, float]], level: str
) -> None:
    def score(split: Split, level: str) -> np.ndarray:
        return np.array([1.0 if level == LEVELS[0] else errors[level][SPLITS.index(split)]])

    choice = choose(score, SPLITS)
    assert choice.level == level
    assert choice.of(choice.level, 0) is not None


def test_splits_of_equal_names_have_scores_of_their_own() -> None:
    """Four logs that are all called log.csv: a hard one and easy ones."""
    hardness = (0.1, 1.0, 2.0, 4.0)
    for names in (("log", "log, log", "log", "log"), ("d", "a, d", "b", "c")):
        same = [Split(name, (), ()) for name in names]

        def score(split: Split, level: str, same: list[Split] = same) -> np.ndarray:
            return np.array([hardness[same.index(split)] * 0.5 ** LEVELS.index(level)])

        choice = choose(score, same)
        assert choice.level == "networks"
        assert choice.gains("linear") == pytest.approx({0: 0.5, 1: 0.5, 2: 0.5, 3: 0.5})


def test_the_gain_of_a_level_is_told_for_every_split() -> None:
    choice = choose(lambda split, level: np.array([0.8 if level == "linear" else 1.0]), SPLITS)
    assert choice.gains("linear") == pytest.approx({0: 0.2, 1: 0.2})
    assert choice.level == "linear"


def test_a_joint_that_says_nothing_is_left_out_and_a_score_that_says_nothing_earns_nothing() -> None:
    def score(split: Split, level: str) -> np.ndarray:
        still = np.nan if split.name == "other" else 1.0
        return np.array([still, {"physics": 1.0, "linear": 0.5, "networks": np.nan}[level]])

    choice = choose(score, SPLITS)
    assert choice.level == "linear"
    assert choice.of("linear", 1) is not None
    assert choose(lambda *_: np.array([np.nan]), SPLITS).level == "physics"
