"""Excitation: motion that shows what an arm is worth, planned inside its limits."""

from calibration.excitation.plan import LEVELS, plan
from calibration.excitation.segment import CHECK, Excitation, Segment
from calibration.excitation.spans import Span, segments_of

__all__ = ["CHECK", "LEVELS", "Excitation", "Segment", "Span", "plan", "segments_of"]
