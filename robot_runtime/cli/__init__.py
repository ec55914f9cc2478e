"""The commands of the robot computer, one file a command."""
