"""What a study says while it runs: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sim.training.checkpoint import CheckpointError
from sim.transfer.files import read_json
from sim.transfer.run import PROGRESS, RESULT
from sim.transfer.study import Cell


class StudyDisplay:
    """One bar for the matrix, one for each run that is at work."""

    def __init__(self, console: Console, cells: Sequence[Cell], root: Path) -> None:
        """`root`: the folder of all runs."""
        self._console, self._cells, self._root = console, cells, root
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}%  {task.fields[told]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        total = sum(cell.steps for cell in cells)
        self._matrix = self._progress.add_task(f"{len(cells)} runs", total=total or 1, told="")
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        """Show the bars."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave them as they are."""
        self._progress.stop()

    def show(self, active: Sequence[Cell], finished: int) -> None:
        """Look at what the runs have written."""
        names = {cell.id for cell in active}
        for name in [name for name in self._bars if name not in names]:
            self._progress.remove_task(self._bars.pop(name))
        for cell in active:
            facts = _told(self._root / cell.id / PROGRESS)
            steps, now = int(facts.get("steps", 0)), facts.get("return")
            if cell.id not in self._bars:
                self._bars[cell.id] = self._progress.add_task(f"  {cell.id}", total=cell.steps or 1, told="")
            told = "trying it" if steps >= cell.steps else "" if now is None else f"return {now:.0f}"
            self._progress.update(self._bars[cell.id], completed=steps, told=told)
        under_way = sum(self._progress.tasks[self._index(name)].completed for name in self._bars)
        whole = sum(c.steps for c in self._cells if c.id not in names and (self._root / c.id / RESULT).exists())
        self._progress.update(self._matrix, completed=whole + under_way, told=f"{finished} finished")

    def ended(self, cell: Cell, error: BaseException | None) -> None:
        """A line that stays."""
        if error is not None:
            self._console.print(f"{cell.id}: failed: {error}", highlight=False, markup=False, soft_wrap=True)
            return
        result = read_json(self._root / cell.id / RESULT) or {}
        trial, field = result["published"], result["field"]
        self._console.print(
            f"{cell.id}: {result['steps']:,} steps in {result['seconds']:.0f} s; "
            f"published way {trial['mean']:.0f} ± {trial['sd']:.0f}, field's {field['mean']:.0f} ± {field['sd']:.0f}",
            highlight=False,
            soft_wrap=True,
        )

    def _index(self, name: str) -> int:
        return self._progress.task_ids.index(self._bars[name])


def _told(path: Path) -> dict[str, float]:
    try:
        return read_json(path) or {}
    except CheckpointError:
        return {}
