"""Transfer experiments: what of a policy learnt on one body helps on another, and how best to go on from it.

A study (`studies/*.toml`) is a matrix of strategies x targets x seeds; `robot-transfer` runs it and draws the answer.
"""
