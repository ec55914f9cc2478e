"""One page that says how good a calibration is, and what to do to get a better one."""
