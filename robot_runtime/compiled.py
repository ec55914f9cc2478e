"""Whether the envelope's arithmetic runs compiled: see setup.py."""

from __future__ import annotations

from importlib.util import find_spec


def is_compiled() -> bool:
    """Compiled, or as Python reads it."""
    found = find_spec("robot_runtime.safety.barrier")
    return found is not None and not str(found.origin).endswith(".py")
