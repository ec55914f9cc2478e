"""What a training says while it runs: a bar on a terminal, plain lines elsewhere, TensorBoard where it is installed."""

from __future__ import annotations

import math
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sim.training.learner import Round

LINE_EVERY = 20
"""Rounds between two plain lines."""


class Reporter:
    """Shows rounds as they come."""

    def __init__(self, console: Console, steps: int, folder: Path | None) -> None:
        """`steps`: of the whole training; `folder`: for TensorBoard's event files, None for none."""
        self._console, self._steps = console, steps
        self._rounds = 0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=steps)
        self._writer: Any = None if folder is None else _tensorboard(folder)

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away and close the files."""
        self._bar.stop()
        if self._writer is not None:
            self._writer.close()

    def show(self, done: Round) -> None:
        """One more round."""
        text = describe(done)
        self._bar.update(self._task, completed=done.steps, description=text)
        if not self._console.is_terminal and self._rounds % LINE_EVERY == 0:
            left = (self._steps - done.steps) / done.rate
            self._console.print(f"{done.steps:>10,} steps  {text}  {left:.0f} s left", highlight=False)
        self._rounds += 1
        if self._writer is not None:
            for name, value in _scalars(done).items():
                self._writer.add_scalar(name, value, done.steps)


def describe(done: Round) -> str:
    """A round in a few words."""
    figures = (
        f"return {done.mean_return:.1f}  success {100 * done.success:.0f} %"
        if math.isfinite(done.mean_return)
        else "no episode has ended yet"
    )
    return f"{figures}  {done.rate:,.0f} steps/s"


def _scalars(done: Round) -> dict[str, float]:
    scalars = {
        "episode/return": done.mean_return,
        "episode/success": done.success,
        "episode/error": done.error,
        "episode/length": done.length,
        "speed/steps_per_second": done.rate,
        "speed/collecting_s": done.collecting,
        "speed/updating_s": done.updating,
        "policy/std": done.std,
        "policy/learning_rate": done.learning_rate,
    }
    return scalars | {f"loss/{name}": value for name, value in done.losses.items()}


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 (optional, and slow to import)
    except ImportError:
        return None
    return SummaryWriter(str(folder))
