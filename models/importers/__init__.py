"""Checkpoints of other trainers -> a frozen ONNX with its contract, proven equal to what the trainer computes."""
