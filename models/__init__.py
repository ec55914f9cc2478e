"""Networks, residual maps, and the arm and policy files that ship with the project."""
