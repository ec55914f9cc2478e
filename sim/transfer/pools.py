"""Where runs are done: in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.connection import wait
from pathlib import Path

from sim.transfer.run import execute
from sim.transfer.runner import STOP
from sim.transfer.study import Cell

LAST_WORDS = 30.0
"""s that a worker whose parent was killed has to write its checkpoint."""
_ORPHANED = threading.Event()


class LocalPool:
    """One process a core."""

    def __init__(self, workers: int) -> None:
        """Nothing starts before the first run."""
        self.capacity = workers
        context = multiprocessing.get_context("spawn")  # a fork would inherit torch's and MuJoCo's threads
        self._executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_settle)

    def submit(self, cell: Cell, root: Path) -> Future[bool]:
        """In one of the processes."""
        return self._executor.submit(work, cell, root)

    def close(self) -> None:
        """Wait for the processes to end."""
        self._executor.shutdown(cancel_futures=True)


def work(cell: Cell, root: Path) -> bool:
    """What a worker does, wherever it is: the run, until it is finished or all are asked to stop."""
    flag = root / STOP
    return execute(cell, root, lambda: _ORPHANED.is_set() or flag.exists())


def _settle() -> None:
    """A new process: Ctrl-C is the parent's business, and so is its own life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """A killed parent tells nobody: without this its workers would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    _ORPHANED.set()
    time.sleep(LAST_WORDS)
    os._exit(1)
