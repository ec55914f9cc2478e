"""What is looked at before torque comes on: servos, settings, bus, files; one gate, one table."""
