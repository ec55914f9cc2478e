"""The command `robot-calibrate`: one file a subcommand."""
