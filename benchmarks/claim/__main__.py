"""Supervised calibration against RL-trained maps against fine-tuning, at equal seconds of an arm's motion.

nice python -m benchmarks.claim run --work FOLDER [--out FOLDER]      goes on where it stopped
python -m benchmarks.claim show [--out FOLDER]                        table and figure of what there is
python -m benchmarks.claim noise --work FOLDER [--out FOLDER]         how much noise RL needs, on the mild gap

One frozen base policy (robot-train's, trained first if FOLDER has none) for all. Every result is a line of runs.jsonl.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.claim.base import Base
from benchmarks.claim.figure import draw
from benchmarks.claim.noise import tried
from benchmarks.claim.runs import RESULTS, read
from benchmarks.claim.study import Study
from benchmarks.claim.table import table

OUT = Path(__file__).resolve().parents[2] / "sim" / "transfer" / "results" / "arm-claim"
FIGURE = "claim.svg"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.claim", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("run", "show", "noise"))
    parser.add_argument("--work", type=Path, default=Path("studies/arm-claim"), help="policies, recordings, maps")
    parser.add_argument("--out", type=Path, default=OUT, help="results and figure")
    options = parser.parse_args()
    interrupted = False
    torch.set_num_threads(1)
    if options.what == "noise":
        base = Base(options.work, options.out)
        for line in tried(options.work, base) if base.made(Console()) else ():
            print(line, flush=True)
        return
    if options.what == "run":
        interrupted = Study(options.work, options.out / RESULTS, Console()).run()
    lines = read(options.out / RESULTS)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / FIGURE).write_text(draw(lines), encoding="utf-8")
    print(table(lines))
    sys.exit(130 if interrupted else 0)


if __name__ == "__main__":
    main()
