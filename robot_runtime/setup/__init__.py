"""What `robot-setup` does: differences, undo, identity, baud rates, zeroing. Nothing here prints or asks."""
