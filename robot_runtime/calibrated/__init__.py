"""A calibration at work: the file that carries it, the arm that it belongs to, and its maps around a policy."""
