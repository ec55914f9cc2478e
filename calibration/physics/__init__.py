"""The numbers of an arm, and their fit to rollouts in MuJoCo."""
