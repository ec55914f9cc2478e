"""What came of asking the system for something."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that was asked of the system."""

    name: str
    got: bool
    detail: str
    advice: str = ""  # what to do to get it


Facts = tuple[Fact, ...]
