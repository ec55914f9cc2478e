"""The flight recorder: what happened, all of it, and how to read it again."""
