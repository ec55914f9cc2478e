from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from calibration.maps.graph import Graph
from robot_runtime.calibrated.errors import UnfitMapError
from robot_runtime.calibrated.file import MapFile
from robot_runtime.calibrated.network import MapNetwork

PERIOD = 0.005
TAPS = {"torque": (0.0, 0.01, 0.02), "dq": (0.0, 0.01, 0.02)}


def echo(taps: Mapping[str, tuple[float, ...]], which: int, joints: int = 2, now: int = 0) -> MapFile:
    """A map whose output is one tap of all joints, in the order of the input; its novelty the next one."""
    graph = Graph((sum(map(len, taps.values())) + now) * joints)
    for name, row in (("mapped", which), ("novelty", which + 1)):
        graph.linear("history", np.eye(joints, graph.inputs, k=row * joints), np.zeros(joints), out=name)
    model = graph.model({"mapped": joints, "novelty": joints}, {})
    return MapFile(model.SerializeToString(), tuple(f"joint{i}" for i in range(joints)), PERIOD, taps, 6.0)


def fed(network: MapNetwork, cycles: int) -> None:
    """Cycle k brings 10 k + i for the i-th number of the row."""
    for k in range(cycles):
        network.row[:] = 10.0 * k + np.arange(len(network.row))
        if k == 0:
            network.fill()
        else:
            network.push()
    network.run()


@pytest.mark.parametrize(
    ("which", "expected"), [(0, [70, 71]), (1, [50, 51]), (2, [30, 31]), (3, [72, 73]), (4, [52, 53])]
)
def test_each_tap_is_so_many_cycles_old(which: int, expected: list[float]) -> None:
    network = MapNetwork("torque", echo(TAPS, which), PERIOD)
    fed(network, 8)
    assert network.mapped.tolist() == expected


def test_a_history_begins_as_if_it_had_always_been_so() -> None:
    network = MapNetwork("torque", echo(TAPS, 2), PERIOD)
    fed(network, 1)
    assert network.mapped.tolist() == [0, 1]
    fed(network, 4)
    assert network.mapped.tolist() == [0, 1]


def test_a_faster_bus_looks_back_as_far() -> None:
    network = MapNetwork("torque", echo(TAPS, 1), PERIOD / 2)
    fed(network, 8)
    assert network.mapped.tolist() == [30, 31]  # 10 ms are four cycles


@pytest.mark.parametrize("period", [0.004, 0.003, 0.02])
def test_a_bus_whose_cycles_do_not_fit_is_refused(period: float) -> None:
    with pytest.raises(UnfitMapError, match="no whole number of bus cycles.*--rate 200"):
        MapNetwork("torque", echo(TAPS, 1), period)


def test_the_newest_command_is_that_of_the_cycle_before() -> None:
    taps = {"q": (0.0, 0.005), "dq": (0.0, 0.005), "command": (0.005, 0.010)}
    network = MapNetwork("observation", MapFile(_wide(taps), ("joint0",), PERIOD, taps, 6.0), PERIOD, ages=("command",))
    fed(network, 5)
    assert network.mapped.tolist() == [42, 32]  # rows hold what was sent in the cycle before them
    early = {**taps, "command": (0.0, 0.005)}
    with pytest.raises(UnfitMapError, match="command of the very cycle"):
        MapNetwork("observation", echo(early, 4, joints=1), PERIOD, ages=("command",))


def _wide(taps: Mapping[str, tuple[float, ...]]) -> bytes:
    """Both command taps of one joint, as an observation map gives two numbers."""
    graph = Graph(sum(map(len, taps.values())))
    graph.linear("history", np.eye(2, graph.inputs, k=4), np.zeros(2), out="mapped")
    graph.linear("history", np.eye(1, graph.inputs), np.zeros(1), out="novelty")
    return bytes(graph.model({"mapped": 2, "novelty": 1}, {}).SerializeToString())


def test_what_has_no_history_follows_the_taps() -> None:
    network = MapNetwork("torque", echo(TAPS, 6, now=2), PERIOD, now=("volts", "extra"))
    network.now[:] = [12.0, 11.0, 0.1, 0.2]
    fed(network, 2)
    assert network.mapped.tolist() == [12.0, 11.0]


def test_a_network_that_is_none_or_of_another_size_is_refused() -> None:
    with pytest.raises(UnfitMapError, match="not a network that can be run"):
        MapNetwork("torque", MapFile(b"nonsense", ("a",), PERIOD, TAPS, 6.0), PERIOD)
    with pytest.raises(UnfitMapError, match="not a network that can be run"):
        MapNetwork("torque", echo({"torque": (0.0,)}, 0), PERIOD, now=("volts",))
