"""The two residual maps: what they learn from, how they are fitted, what they ship with, and their ONNX."""
