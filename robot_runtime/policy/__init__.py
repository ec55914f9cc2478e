"""Policies: a frozen ONNX network, its contract, and what they make of a state."""
