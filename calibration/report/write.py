"""A calibration and its logs in, one HTML page out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from calibration.logs.load import Loaded
from calibration.report.clip import clip
from calibration.report.page import page
from calibration.report.story import story
from robot_runtime.calibrated.file import Calibration
from robot_runtime.flight.clip import ClipError
from robot_runtime.spec import ArmSpec

NO_CLIP = "No clip was asked for."


def write(
    file: Path,
    calibration: Calibration,
    loaded: Sequence[Loaded],
    spec: ArmSpec,
    *,
    threads: int = 2,
    moving: bool = True,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Write the page. `moving`: with a clip; where none can be rendered, the page says why, and `tell` hears it."""
    shown = story(calibration, loaded, spec, threads)
    rendered: bytes | str = NO_CLIP
    if moving:
        try:
            rendered = clip(shown)
        except ClipError as error:
            rendered = str(error)
            tell(rendered)
    file.write_text(page(shown, rendered), encoding="utf-8")
