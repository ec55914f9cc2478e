"""Refining a calibration for one policy: both maps trained further by PPO, in the arm as it was identified."""
