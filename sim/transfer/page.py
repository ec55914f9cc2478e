"""One HTML page about a study: no scripts, nothing loaded from anywhere."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

from robot_runtime.flight.html import document, grid, section, table
from sim.transfer.charts import Curve, bars, curves
from sim.transfer.films import FILMS
from sim.transfer.results import EARLY, GOOD, Result, early_returns, over_seeds, steps_to_scratch
from sim.transfer.study import SOURCE, Study
from sim.worlds.walker2d import BASE, FAMILY

_COLOURS = (7, 0, 1, 2, 3, 4, 5, 6, 8, 9)
"""Place among the strategies -> colour of the style: grey for the first, and two more than flights have."""

_STYLE = """
:root { --c8:#8c6d46; --c9:#c44e52 }
.grid { grid-template-columns:repeat(auto-fill,minmax(min(460px,100%),1fr)); align-items:start }
.films .grid { grid-template-columns:repeat(auto-fill,minmax(220px,1fr)) }
svg .title { font-size:12px } svg .tick { font-size:10px } svg .line { stroke-width:1.6 }
svg .whisker { stroke:var(--ink); stroke-width:1.2; fill:none } svg .line.faint { stroke-width:.8; opacity:.45 }
figure { margin:0 } figcaption { font-size:.8rem; color:var(--soft) } figure img { width:100% }
""" + "".join(
    f".line.c{k} {{ stroke:var(--c{c}) }} .fill.c{k} {{ fill:var(--c{c}); stroke:none }}\n"
    for k, c in enumerate(_COLOURS)
)


def page(study: Study, results: Sequence[Result], folder: Path) -> str:
    """The whole page; films are taken from the study's folder, where they are."""
    title = f"Transfer: {study.name}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(study.about)}</p>" if study.about else "",
        _so_far(study, results),
        *_bars(study, results),
        *_sweeps(study, results),
        *_learning(study, results),
        *_tables(study, results),
        *_films(folder, results),
        *_runs(results),
    ]
    return document(title, body, _STYLE)


def _so_far(study: Study, results: Sequence[Result]) -> str:
    hours = sum(r["seconds"] + r["trial_seconds"] for r in results) / 3600
    return (
        f'<p class="soft">{len(results)} of {len(study.cells())} runs finished, {hours:.1f} processor hours; '
        f"{study.episodes} episodes a trial. Intervals are 95 % over seeds; (n) is the number of seeds.</p>"
    )


def _labels(results: Iterable[Result]) -> list[str]:
    return [label for label in dict.fromkeys(r["strategy"] for r in results) if label != SOURCE]


def _targets(study: Study, results: Iterable[Result]) -> list[str]:
    found = {r["target"] for r in results}
    return [target for target in study.targets if target in found]


def _bars(study: Study, results: Sequence[Result]) -> list[str]:
    walks = study.task == "walker2d"
    back = "Back on what the base policy is from (field's way)"
    wanted = [
        ("published", "mean", f"As published: sampled actions{', up to 10 000 steps' if walks else ''}: return"),
        ("field", "mean", f"As in the field: no noise{', up to 1000 steps' if walks else ''}: return"),
        ("back_home", "mean", f"{back}: return"),
    ]
    if not walks:
        wanted += [
            ("field", "success", "No noise: share of successes"),
            ("field", "error", "No noise: error at the end, m or rad"),
            ("back_home", "success", f"{back}: share of successes"),
            ("twin", "success", "On the twin, through the runtime: share of successes"),
            ("twin", "success_felt", "The same, as the arm feels it"),
        ]
    targets, charts = _targets(study, results), []
    for trial, figure, title in wanted:
        figures = over_seeds(results, trial, figure)
        series = {label: {t: figures[label, t] for t in targets if (label, t) in figures} for label in _labels(results)}
        charts.append(bars(title, targets, series))
    return [section("By target", grid(charts))]


def _sweeps(study: Study, results: Sequence[Result]) -> list[str]:
    """Targets that differ in one number: a curve over it."""
    charts = []
    for key, told, place in (
        ("friction", "share of the feet's friction", _friction),
        ("legs", "length of the legs", _legs),
    ):
        places = {t: p for t, table in study.targets.items() if (p := place(table)) is not None}
        if len(places) < 2:
            continue
        for trial in ("published", "field"):
            figures = over_seeds(results, trial)
            lines = []
            for k, label in enumerate(_labels(results)):
                at = sorted((places[t], figures[label, t]) for t in places if (label, t) in figures)
                halves = [o.half for _, o in at]
                lines.append(Curve(label, [p for p, _ in at], [o.mean for _, o in at], k, halves))
            title = f"Return over {key} ({'as published' if trial == 'published' else 'field'})"
            charts.append(curves(title, told, lines, log_y=True))
    return [section("Sweeps", grid(charts))] if any(charts) else []


def _friction(table: object) -> float | None:
    assert isinstance(table, dict)
    if "friction" in table:
        return float(table["friction"])
    body = FAMILY.get(str(table.get("body")), BASE)
    return body.right_foot / BASE.right_foot if body.floor != BASE.floor else None


def _legs(table: object) -> float | None:
    assert isinstance(table, dict)
    return float(table["legs"]) if "legs" in table else None


def _learning(study: Study, results: Sequence[Result]) -> list[str]:
    charts = []
    labels = _labels(results)
    for target in [SOURCE, *_targets(study, results)]:
        for key, told in (("steps", "steps"), ("motion", "seconds of motion"), ("seconds", "processor seconds")):
            if key == "motion" and study.task == "walker2d":
                continue
            lines = [
                Curve(
                    r["strategy"],
                    _along(r, key),
                    [math.nan if v is None else v for v in r["curve"]["return"]],
                    labels.index(r["strategy"]) if r["strategy"] in labels else 0,
                    faint=len(study.seeds) > 1,
                )
                for r in results
                if r["target"] == target and r["steps"]
            ]
            log = len({line.name for line in lines}) > 1
            charts.append(curves(f"{target}: return in training over {told}", told, lines, log_x=log))
    return [section("Learning", grid(charts))]


def _along(result: Result, key: str) -> list[float]:
    """The x of a learning curve; motion: s that one arm would have moved for it."""
    if key == "motion":
        return [steps * result["period"] for steps in result["curve"]["steps"]]
    return list(result["curve"][key])


def _tables(study: Study, results: Sequence[Result]) -> list[str]:
    targets, labels = _targets(study, results), _labels(results)
    reached, early = steps_to_scratch(results), early_returns(results)

    def steps(label: str, target: str) -> str:
        found = reached.get((label, target))
        return "" if not found else ", ".join("never" if s is None else f"{s:,}" for s in found)

    def early_one(label: str, target: str) -> str:
        return str(early.get((label, target), ""))

    def by_target(title: str, cell: Callable[[str, str], str]) -> str:
        rows = ([label, *(cell(label, target) for target in targets)] for label in labels)
        return section(title, table(("", *targets), rows))

    parts = [by_target(f"Steps until {GOOD:.0%} of what scratch reaches (by seed)", steps)]
    parts.append(by_target(f"Return in training after {EARLY:.0%} of scratch's steps", early_one))
    for trial, title in (("published", "As published"), ("field", "As in the field"), ("back_home", "Back home")):
        figures = over_seeds(results, trial)
        told: Callable[[str, str], str] = lambda a, b, f=figures: str(f.get((a, b), ""))  # type: ignore[misc] # noqa: E731
        parts.append(by_target(f"{title}: return", told))
    return parts


def _films(folder: Path, results: Sequence[Result]) -> list[str]:
    figures = []
    for r in results:
        file = folder / FILMS / f"{r['id']}.webp"
        if file.exists():
            data = base64.b64encode(file.read_bytes()).decode()
            told = f"{r['strategy']} on {r['target']}, seed {r['seed']}"
            figures.append(
                f'<figure><img alt="{escape(told)}" src="data:image/webp;base64,{data}">'
                f"<figcaption>{escape(told)}</figcaption></figure>"
            )
    return [section("Films", f"<div class='films'>{grid(figures)}</div>")] if figures else []


def _runs(results: Sequence[Result]) -> list[str]:
    trials = {"published": "published: mean ± sd of episodes", "field": "field", "back_home": "back home"}
    heads = ("run", "steps", "processor s", *trials.values(), "frozen tensors, unchanged", "maps off")
    rows = [
        (
            r["id"],
            f"{r['steps']:,}",
            f"{r['seconds']:.0f}",
            *(f"{r[t]['mean']:.0f} ± {r[t]['sd']:.0f}" if t in r else "" for t in trials),
            str(r["frozen_tensors_unchanged"] or ""),
            {None: "", True: "base, bit for bit"}.get(r["maps_off_is_base"], "not the base"),
        )
        for r in results
    ]
    return [section("Runs", table(heads, rows))]
