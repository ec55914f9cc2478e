"""Worlds to train in: an arm as its files describe it, with servos that do what servos do; and the Walker2d family."""
