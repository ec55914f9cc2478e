"""Hardware-in-the-loop: the same tests against the twin (default) or a real arm."""
