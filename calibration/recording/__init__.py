"""Moving an arm about and logging it: shown before, gentler where it strains, gone on with where it stopped."""
