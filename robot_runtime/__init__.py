"""What runs on the robot computer: bus, arm, policy, safety, loop. Importing it pulls no torch and no simulator."""
