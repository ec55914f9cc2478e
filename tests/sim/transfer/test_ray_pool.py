"""The same runs on a Ray cluster of two nodes on this machine."""

import importlib.util
from pathlib import Path

import pytest

from sim.transfer.ray_pool import NoRayError, RayPool
from sim.transfer.run import RESULT
from sim.transfer.runner import run_cells
from tests.sim.transfer.small import small_study
from tests.sim.transfer.test_runner import Quiet

INSTALLED = importlib.util.find_spec("ray") is not None


@pytest.mark.skipif(not INSTALLED, reason="Ray is not installed (pip install 'robot-runtime[cluster]')")
@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own
def test_a_study_on_two_nodes(tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    try:
        pool = RayPool(cluster.address)
        assert pool.capacity == 2
        cells = small_study(tmp_path).cells()
        outcome = run_cells(cells, tmp_path / "runs", pool, Quiet())
        pool.close()
    finally:
        cluster.shutdown()
    assert (outcome.finished, outcome.failed) == (len(cells), {})
    assert all((tmp_path / "runs" / cell.id / RESULT).exists() for cell in cells)


@pytest.mark.skipif(INSTALLED, reason="Ray is installed")
def test_without_ray_the_command_says_how_to_get_it() -> None:
    with pytest.raises(NoRayError, match="pip install"):
        RayPool(None)
