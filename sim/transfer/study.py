"""A study: which strategies on which targets with which seeds, read from a TOML file; and the runs that it takes."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from robot_runtime.typed_json import record
from sim.training.settings import SETTINGS, Settings
from sim.transfer.noise import Noise
from sim.transfer.strategies import STRATEGIES, Strategy, StrategyError, combined
from sim.transfer.targets import Table, TargetError, check_target

SHIPPED = Path(__file__).resolve().parent / "studies"
SOURCE = "source"
"""Strategy and target of the runs that make the base policies."""
_TOP = {"name", "task", "seeds", "episodes", "settings", "source", "targets", "strategies", "curricula", "about"}
_WORDS = {
    "schedule": ("adaptive", "linear"),
    "activation": ("elu", "selu", "relu", "crelu", "lrelu", "tanh", "sigmoid", "softplus", "gelu", "swish", "mish"),
}
_SHARES = ("gamma", "lam", "learning_rate", "quiet_from", "quiet_by")
_COUNTS = ("simulations", "horizon", "hidden", "epochs", "minibatches")
_STRATEGY = {"parts", "steps", "noise", "only", "seeds"}
_CURRICULUM = {"parts", "steps", "noise", "through"}


class StudyError(ValueError):
    """A study file that cannot be used; the message says which file and what in it."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One run: it needs nothing else to be done again, on any machine, but the networks that it starts from."""

    id: str  # also the name of its folder
    label: str  # of the strategy, as the study calls it
    target: str
    seed: int
    task: str
    table: Table  # of the target
    source: Table  # of the target that the base policy is from
    parts: tuple[str, ...]
    options: Mapping[str, Any]
    noise: tuple[float, float] | None
    steps: int
    episodes: int
    settings: Settings
    base: str | None  # the run that it starts from

    @property
    def strategies(self) -> tuple[Strategy, ...]:
        """In the order in which they are done."""
        return combined(self.parts, self.options, len(self.settings.hidden) + 1)

    @property
    def definition(self) -> dict[str, Any]:
        """What has to be the same for a result to be of this run, in the types of JSON."""
        facts = asdict(self)
        for told in ("label", "target"):
            del facts[told]
        facts["parts"], facts["noise"] = list(self.parts), None if self.noise is None else list(self.noise)
        facts["settings"]["hidden"] = list(self.settings.hidden)
        return facts


@dataclass(frozen=True, slots=True)
class Study:
    """What a file says."""

    name: str
    about: str
    task: str
    seeds: tuple[int, ...]
    episodes: int
    settings: Settings
    source: Table
    source_steps: int
    targets: Mapping[str, Table]
    strategies: Mapping[str, Mapping[str, Any]]
    curricula: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def cells(self) -> list[Cell]:
        """All runs, a seed after the other, each after the run that it starts from."""
        return [cell for seed in self.seeds for cell in self._of_seed(seed)]

    def scaled(self, factor: float) -> Study:
        """The same study with this share of all steps: to try it out."""

        def shorter(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
            return {name: {**t, "steps": round(t["steps"] * factor)} for name, t in tables.items()}

        return replace(
            self,
            source_steps=round(self.source_steps * factor),
            strategies=shorter(self.strategies),
            curricula=shorter(self.curricula),
        )

    def _of_seed(self, seed: int) -> Iterator[Cell]:
        base = f"{SOURCE}-{seed}"
        yield self._cell(base, SOURCE, SOURCE, seed, {"parts": ["scratch"], "steps": self.source_steps}, None)
        for label, table in self.strategies.items():
            if seed not in table.get("seeds", self.seeds):
                continue
            for target in table.get("only", self.targets):
                yield self._cell(f"{_slug(label)}-{target}-{seed}", label, target, seed, table, base)
        for label, table in self.curricula.items():
            before = base
            for k, target in enumerate(table["through"], start=1):
                cell = self._cell(f"{_slug(label)}-{k}-{target}-{seed}", label, target, seed, table, before)
                yield cell
                before = cell.id

    def _cell(self, name: str, label: str, target: str, seed: int, table: Mapping[str, Any], base: str | None) -> Cell:
        parts, options = tuple(table["parts"]), _options(table)
        needs = any(STRATEGIES[part].needs_base for part in parts)
        trains = any(STRATEGIES[part].trains for part in parts)
        return Cell(
            id=name,
            label=label,
            target=target,
            seed=seed,
            task=self.task,
            table=self.source if target == SOURCE else self.targets[target],
            source=self.source,
            parts=parts,
            options=options,
            noise=tuple(table["noise"]) if "noise" in table else None,
            steps=table["steps"] if trains else 0,
            episodes=self.episodes,
            settings=self.settings,
            base=base if needs else None,
        )


def load_study(name_or_path: str) -> Study:
    """A shipped study by name, or any by its path.

    Raises:
        StudyError: no such file, or something in it cannot be.
    """
    shipped = SHIPPED / f"{name_or_path}.toml"
    path = shipped if shipped.is_file() else Path(name_or_path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, IsADirectoryError) as error:
        known = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.toml")))
        raise StudyError(f"{name_or_path}: neither a study that ships ({known}) nor a file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StudyError(f"{path}: not valid TOML: {error}") from error
    try:
        return _study(path, data)
    except (StrategyError, TargetError) as error:
        raise StudyError(f"{path}: {error}") from error
    except KeyError as error:
        raise StudyError(f"{path}: key {error} is missing") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise StudyError(f"{path}: {error}") from error


def _study(path: Path, data: dict[str, Any]) -> Study:
    _known(data, _TOP, "the study")
    task = data["task"]
    source = dict(_table(data, "source"))
    steps = _whole(source.pop("steps"), 1, "steps of the source")
    check_target(task, SOURCE, source)
    targets = {name: dict(_table(data["targets"], name)) for name in _table(data, "targets")}
    for name, table in targets.items():
        _require_name(name, "a target")
        check_target(task, name, table)
    for kind in ("strategies", "curricula"):
        for label in _table(data, kind) if kind in data else ():
            _table(data[kind], label)
    settings = _settings(SETTINGS[task], _table(data, "settings") if "settings" in data else {})
    strategies = {label: {"parts": [label], "steps": 0, **table} for label, table in data["strategies"].items()}
    curricula = {
        label: {"parts": ["residual-maps"], "steps": 0, **table} for label, table in data.get("curricula", {}).items()
    }
    for label, table in curricula.items():
        if not table.get("through"):
            raise ValueError(f"'{label}': say through which targets")
    for label, table in (*strategies.items(), *curricula.items()):
        _check_strategy(label, table, len(settings.hidden) + 1)
        for name in (*table.get("only", ()), *table.get("through", ())):
            if name not in targets:
                raise ValueError(f"'{label}': no target '{name}'; there are {', '.join(targets)}")
    seeds = data["seeds"]
    for label, table in strategies.items():
        if unknown := [seed for seed in table.get("seeds", ()) if seed not in seeds]:
            raise ValueError(f"'{label}': no seed {unknown[0]}; there are {', '.join(map(str, seeds))}")
    whole = isinstance(seeds, list) and all(type(seed) is int and 0 <= seed < 2**63 for seed in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds are different whole numbers from 0 on, not {seeds}")
    if SOURCE in targets or SOURCE in strategies:
        raise ValueError(f"'{SOURCE}' is the name of what the base policies come from; call it otherwise")
    name, about = str(data.get("name", path.stem)), str(data.get("about", ""))
    _require_name(name, "the study")
    episodes = _whole(data.get("episodes", 100), 1, "episodes")
    study = Study(name, about, task, tuple(seeds), episodes, settings, source, steps, targets, strategies, curricula)
    ids = [cell.id for cell in study.cells()]
    if twice := [found for found in ids if ids.count(found) > 1]:
        raise ValueError(f"two runs would be called '{twice[0]}', and share a folder; call a strategy otherwise")
    return study


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A table of the file."""
    value = data[key]
    if not isinstance(value, dict):
        raise TypeError(f"'{key}' is a table, not {value!r}")
    return value


def _whole(value: object, least: int, what: str) -> int:
    """A whole number."""
    if type(value) is not int or value < least:
        raise ValueError(f"{what}: a whole number from {least} on, not {value!r}")
    return value


def _require_name(name: str, whose: str) -> None:
    """Names become folders."""
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise ValueError(f"'{name}' is no name for {whose}: letters, digits, and _ . + - behind the first")


def _check_strategy(label: str, table: Mapping[str, Any], layers: int) -> None:
    for key in ("parts", "only", "seeds", "through", "noise"):
        if not isinstance(table.get(key, []), list):
            raise TypeError(f"'{label}': {key} is a list, not {table[key]!r}")
    for key in ("parts", "only", "through"):
        if strange := [word for word in table.get(key, []) if not isinstance(word, str)]:
            raise TypeError(f"'{label}': {key} are names, not {strange[0]!r}")
    _whole(table["steps"], 0, f"steps of '{label}'")
    parts = combined(table["parts"], _options(table), layers)
    if any(part.trains for part in parts) and not table.get("steps"):
        raise ValueError(f"'{label}' trains: say for how many steps")
    if "noise" in table:
        if len(table["noise"]) != 2 or not all(type(number) in (int, float) for number in table["noise"]):
            raise ValueError(f"'{label}': noise is [at first, in the end], not {table['noise']}")
        Noise(*table["noise"])


def _options(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in _STRATEGY | _CURRICULUM}


def _settings(usual: Settings, table: Mapping[str, Any]) -> Settings:
    _known(table, {f.name for f in fields(Settings)}, "[settings]")
    found = record(Settings, {**asdict(usual), **table}, "settings")
    for name, value in asdict(found).items():
        for number in value if isinstance(value, tuple) else (value,):
            low = 1 if isinstance(number, int) and name in _COUNTS else 0
            if isinstance(number, int | float) and not low <= number < math.inf:
                raise ValueError(f"settings.{name} is {value!r}: {low} or more, and finite")
    for name, words in _WORDS.items():
        if (word := getattr(found, name)) not in words:
            raise ValueError(f"settings.{name} is {word!r}: one of {', '.join(words)}")
    for name in _SHARES:
        if getattr(found, name) > 1:
            raise ValueError(f"settings.{name} is {getattr(found, name)!r}: 1 at most")
    if not found.hidden:
        raise ValueError("settings.hidden is empty: the widths of one layer or more")
    if found.minibatches > (most := found.simulations * found.horizon):
        raise ValueError(f"settings.minibatches is {found.minibatches}: {most} at most, simulations times horizon")
    return found


def _known(table: Mapping[str, Any], known: set[str], where: str) -> None:
    if unknown := sorted(set(table) - known):
        raise ValueError(f"{where} has no key '{unknown[0]}'; there are {', '.join(sorted(known))}")


def _slug(label: str) -> str:
    """A label as part of a folder's name."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in label)
