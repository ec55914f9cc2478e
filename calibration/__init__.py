"""Moving the real arm, logging it, and fitting the two residual maps around a frozen policy."""
