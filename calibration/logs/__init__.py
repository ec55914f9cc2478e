"""Logs of an arm, ours or others': read, cleaned, split, cut into windows."""
