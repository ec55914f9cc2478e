"""MuJoCo worlds: tasks, training, transfer studies, and the twin."""
