"""How each task is trained: PPO's settings, found by trying, with what they are good for."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Settings:
    """Of PPO as rsl_rl does it. Names are its own where it has one."""

    steps: int  # of all simulations together, by default
    simulations: int = 256
    horizon: int = 32  # steps of each simulation between two updates
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    initial_std: float = 1.0  # of actions that end at -1 and 1: less does not shake a joint loose that sticks
    final_std: float = 0.05  # to which the noise is brought down: in flight there is none
    quiet_from: float = 0.8  # share of the training after which it is brought down
    quiet_by: float = 1.0  # share of the training after which it is as small as that
    epochs: int = 4
    minibatches: int = 4
    learning_rate: float = 1e-3
    schedule: str = "adaptive"  # the learning rate follows the KL divergence; "linear": it falls to nearly nothing
    desired_kl: float = 0.03  # at first; it falls linearly
    clip: float = 0.2
    gamma: float = 0.98
    lam: float = 0.95
    entropy: float = 0.0
    value_loss: float = 1.0
    reward_scale: float = 1.0  # of what the learner sees, so that values stay near 1


_ARM = Settings(
    steps=1_600_000,
    hidden=(128, 128),
    activation="elu",
    horizon=16,
    reward_scale=0.03,
    quiet_from=0.5,
)

SETTINGS = {
    "reach": _ARM,
    "track": _ARM,
    "hold": replace(_ARM, steps=600_000, hidden=(64, 64), quiet_from=0.3, quiet_by=0.8),
    "walker2d": Settings(
        steps=1_000_000,
        simulations=128,
        epochs=5,
        horizon=16,
        schedule="linear",  # "adaptive" came down to its least rate within each update: 2285 in place of 3585, one seed
        gamma=0.99,
        reward_scale=0.1,
        initial_std=0.5,
        final_std=0.2,
    ),
}
"""By task."""
