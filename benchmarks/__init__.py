"""Side-by-side measurements, each printing ratios between things measured in one run."""
