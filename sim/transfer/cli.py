"""The command `robot-transfer`: run a study of transfer strategies, and draw what it has found."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from robot_runtime.cli.common import Parser, Screen, run
from sim.training.checkpoint import CheckpointError
from sim.transfer.display import StudyDisplay
from sim.transfer.films import film_all
from sim.transfer.networks import NetworksFileError
from sim.transfer.page import page
from sim.transfer.pools import LocalPool
from sim.transfer.ray_pool import NoRayError, RayPool
from sim.transfer.results import RUNS, STUDY, read_results, write_tables
from sim.transfer.run import NETWORKS
from sim.transfer.runner import Outcome, Pool, run_cells
from sim.transfer.study import SHIPPED, Study, StudyError, load_study

FINE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
_CODES = tuple((error, USAGE) for error in (StudyError, CheckpointError, NetworksFileError, NoRayError))
PAGE = "index.html"

_EXAMPLES = """\
examples:
  robot-transfer run smoke
  robot-transfer run walker-seed --out studies/walker-seed     # the same again: goes on where it stopped
  robot-transfer page studies/walker-seed

exit codes:
  0    all runs are finished, or the page is drawn
  1    some runs failed; the others are finished
  2    bad usage, or a file or value that cannot be used
  130  interrupted: checkpoints are written, the same command goes on
"""


def _parser() -> Parser:
    parser = Parser(
        prog="robot-transfer",
        description="Run a matrix of transfer strategies x targets x seeds, and draw the answer.",
        epilog=_EXAMPLES,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.toml")))
    go = commands.add_parser(
        "run",
        help="run a study, or go on with it",
        description="Run what a study says: policies of a source, carried to each target by each strategy, with each "
        "seed. What is finished is left alone and what was begun goes on, so the same command again goes on where it "
        "stopped. A study takes hours; smoke takes a minute or two.",
        epilog=_EXAMPLES,
    )
    go.add_argument("study", metavar="STUDY", help=f"a study that ships ({shipped}), or the path of a TOML file")
    go.add_argument("--out", type=Path, metavar="DIR", help="where runs, tables and page go (default: studies/NAME)")
    go.add_argument("--workers", type=int, metavar="N", help="how many runs at a time (default: one a processor core)")
    go.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="run on a Ray cluster whose nodes all see DIR (auto: the one that this machine is in; without ADDRESS: a "
        "new one, of this machine alone); needs pip install 'robot-runtime[cluster]'",
    )
    draw = commands.add_parser(
        "page",
        help="draw what a study has found so far",
        description="Write the tables and the page of a study again, as far as it has come, also while it runs.",
        epilog=_EXAMPLES,
    )
    draw.add_argument("folder", type=Path, metavar="DIR", help="the study's folder: --out of run")
    for command, body in ((go, _run), (draw, _page)):
        command.add_argument("--no-films", action="store_true", help="do not film the policies: much sooner done")
        command.add_argument("--json", action="store_true", help="print the outcome, or the error, as one line of JSON")
        command.add_argument("--debug", action="store_true", help="show where in the program an error arose")
        command.set_defaults(does=body)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(_parser(), argv, _CODES)


def _run(options: argparse.Namespace, screen: Screen) -> int:
    study = load_study(options.study)
    folder: Path = options.out or Path("studies") / study.name
    folder.mkdir(parents=True, exist_ok=True)
    shipped = SHIPPED / f"{options.study}.toml"
    text = (shipped if shipped.is_file() else Path(options.study)).read_text(encoding="utf-8")
    cells, root = study.cells(), folder / RUNS
    # With --json the outcome is alone on standard output.
    console = Console(stderr=options.json)
    console.print(f"{study.name}: {len(cells)} runs, into {folder}", highlight=False)
    pool = _pool(options)
    if not (folder / STUDY).exists():
        (folder / STUDY).write_text(text, encoding="utf-8")  # `page` draws a study that is still running
    try:
        with StudyDisplay(console, cells, root) as display:
            outcome = run_cells(cells, root, pool, display)
    finally:
        pool.close()
    (folder / STUDY).write_text(text, encoding="utf-8")
    drawn = _draw(study, folder, films=not options.no_films and not outcome.interrupted)
    return _tell(screen, folder, outcome, drawn)


def _pool(options: argparse.Namespace) -> Pool:
    if options.ray is not None:
        return RayPool(options.ray or None)
    workers = os.cpu_count() or 1 if options.workers is None else options.workers
    if workers < 1:
        raise StudyError(f"--workers is 1 or more, not {workers}")
    return LocalPool(workers)


def _page(options: argparse.Namespace, screen: Screen) -> int:
    if not (options.folder / STUDY).is_file():
        raise StudyError(f"{options.folder} holds no {STUDY}: no study has been run there")
    study = load_study(str(options.folder / STUDY))
    drawn = _draw(study, options.folder, films=not options.no_films)
    screen.line(drawn)
    screen.say(_told(drawn))
    return FINE


def _draw(study: Study, folder: Path, *, films: bool) -> dict[str, Any]:
    """Tables and page of what there is."""
    why = film_all(folder, str(folder / STUDY)) if films else None
    results = read_results(folder, study)
    write_tables(folder, results)
    (folder / PAGE).write_text(page(study, results, folder), encoding="utf-8")
    return {"page": str(folder / PAGE), "runs": len(results), "of": len(study.cells()), "no_films": why}


def _tell(screen: Screen, folder: Path, outcome: Outcome, drawn: dict[str, Any]) -> int:
    facts = {"finished": outcome.finished, "failed": outcome.failed, "baseless": outcome.baseless, "left": outcome.left}
    screen.line({"folder": str(folder), **facts, "interrupted": outcome.interrupted, **drawn})
    screen.say(_told(drawn))
    for name, why in outcome.failed.items():
        screen.aside(f"failed: {name}: {why}")
    for base, runs in outcome.baseless.items():
        screen.aside(
            f"not run: {', '.join(runs)}: the result of {base} is there, but not its {NETWORKS}, and trained again it "
            "would be another base; bring that file back, or give another --out"
        )
    if outcome.interrupted:
        screen.aside("interrupted; the same command goes on")
        return INTERRUPTED
    return FAILED if outcome.failed or outcome.left else FINE


def _told(drawn: dict[str, Any]) -> str:
    films = "" if drawn["no_films"] is None else f"; no films: {drawn['no_films']}"
    return f"{drawn['runs']} of {drawn['of']} runs are finished; page: {drawn['page']}{films}"


if __name__ == "__main__":
    sys.exit(main())
