"""The same runs on a Ray cluster: Ray schedules, this only hands over. All nodes must see the study's folder."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

from sim.transfer.pools import work
from sim.transfer.study import Cell


class NoRayError(RuntimeError):
    """Ray is not installed; the message says how to get it."""


class RayPool:
    """One processor of the cluster a run."""

    def __init__(self, address: str | None) -> None:
        """`address`: of a cluster ("auto": the one that this machine is in); None: a cluster of this machine alone.

        Raises:
            NoRayError: it is not installed.
            ConnectionError: there is no cluster at that address.
        """
        try:
            import ray  # noqa: PLC0415 (an extra)
        except ImportError as error:
            raise NoRayError("--ray needs Ray: pip install 'robot-runtime[cluster]'") from error
        self._ray: Any = ray
        if not ray.is_initialized():
            ray.init(address=address, log_to_driver=False)
        self.capacity = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._remote = ray.remote(num_cpus=1, max_retries=2)(work)

    def submit(self, cell: Cell, root: Path) -> Future[bool]:
        """Somewhere in the cluster; a run whose node dies goes on from its checkpoint on another."""
        future: Future[bool] = self._remote.remote(cell, root.resolve()).future()
        return future

    def close(self) -> None:
        """Leave the cluster."""
        self._ray.shutdown()
