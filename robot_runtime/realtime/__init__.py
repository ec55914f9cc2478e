"""Punctual cycles: what to ask of the system for them, and the pace itself.

Nothing here is needed for a flight to be right, only for it to be in time. What the system does not allow is told, with
the line that would allow it; docs/realtime.md has the measurements behind the numbers.
"""

from robot_runtime.realtime.fact import Fact, Facts
from robot_runtime.realtime.pacer import Pacer
from robot_runtime.realtime.system import PRIORITY, RealTime, Settings, isolated_cores, usable_cores

__all__ = ["PRIORITY", "Fact", "Facts", "Pacer", "RealTime", "Settings", "isolated_cores", "usable_cores"]
