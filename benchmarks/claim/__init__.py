"""Supervised calibration against RL-trained maps against fine-tuning, at equal seconds of an arm's motion."""
