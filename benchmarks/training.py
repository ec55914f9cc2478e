"""How fast training is, and how good: ours beside SB3's PPO and beside the physics alone, in one run.

    python benchmarks/training.py                  steps per second: a table
    python benchmarks/training.py --json           the same for machines
    python benchmarks/training.py --returns 3      also train Walker2d for 1M steps with 3 seeds, both ways: an hour
                                                   or more; --keep FILE remembers each training that is over

Speed: Walker2d, networks of 64 x 64, two threads. SB3 2.x out of the box with 8 environments in one process, its
settings for the update those of its own defaults; it steps the same task through Gymnasium. Returns: SB3 with the
settings published for Walker2d in its zoo, ours with what `robot-train --task walker2d` uses; both tried without noise
on 20 episodes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from sim.tasks import Task, make_env, make_task
from sim.training.evaluate import evaluate
from sim.training.learner import Learner
from sim.training.settings import SETTINGS

THREADS = 2
SECONDS = 10.0
STEPS = 1_000_000
EPISODES = 20
ZOO: dict[str, Any] = {
    "batch_size": 32,
    "n_steps": 512,
    "gamma": 0.99,
    "learning_rate": 5.05041e-05,
    "ent_coef": 0.000585045,
    "clip_range": 0.1,
    "n_epochs": 20,
    "gae_lambda": 0.95,
    "max_grad_norm": 1.0,
    "vf_coef": 0.871923,
}
"""Of rl-baselines3-zoo, hyperparams/ppo.yml, Walker2d-v4: one environment, observations and rewards normalised."""


Return = tuple[float, float]
"""Mean return of a trained policy, and the seconds that its training took."""


def make(name: str, seed: int) -> Task:
    seeds = np.random.SeedSequence(seed).generate_state(SETTINGS[name].simulations).tolist()
    return make_task(name, seeds, threads=THREADS)


def physics_alone(name: str, seconds: float) -> float:
    """Steps of the task's model by `Batch.step` and nothing else, on the states that random actions lead to."""
    task, random = make(name, 0), np.random.default_rng(0)
    task.reset()
    spent = steps = 0.0
    begin = time.perf_counter()
    inside = task.batch.step

    def timed(*args: Any, **options: Any) -> None:
        nonlocal spent
        start = time.perf_counter()
        inside(*args, **options)
        spent += time.perf_counter() - start

    task.batch.step = timed
    while time.perf_counter() - begin < seconds:
        task.step(random.uniform(-1, 1, (task.count, task.action_size)))
        steps += task.count
        if task.done.any():
            task.reset(np.flatnonzero(task.done))
    return steps / spent


def ours(name: str, seconds: float) -> dict[str, float]:
    """Steps per second of whole rounds, and where the time of a round goes."""
    learner = Learner(make(name, 1), SETTINGS[name], 1, 10**9)
    learner.round()
    inside = learner.task.batch.step
    spent = 0.0

    def timed(*args: Any, **options: Any) -> None:
        nonlocal spent
        start = time.perf_counter()
        inside(*args, **options)
        spent += time.perf_counter() - start

    learner.task.batch.step = timed
    begin, steps = time.perf_counter(), learner.steps
    collecting = updating = 0.0
    while (passed := time.perf_counter() - begin) < seconds:
        done = learner.round()
        collecting += done.collecting
        updating += done.updating
    passed = time.perf_counter() - begin
    return {
        "steps_per_second": (learner.steps - steps) / passed,
        "share_physics": spent / passed,
        "share_rollout_besides": (collecting - spent) / passed,
        "share_update": updating / passed,
    }


def sb3(seconds: float, *, processes: bool) -> float:
    """Out of the box, 8 environments."""
    makers: list[Callable[[], Any]] = [lambda: make_env("walker2d") for _ in range(8)]
    envs = SubprocVecEnv(makers) if processes else DummyVecEnv(makers)
    model = PPO("MlpPolicy", envs, n_steps=256, policy_kwargs={"net_arch": [64, 64]}, device="cpu", seed=1)
    model.learn(2048)
    begin, steps = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        model.learn(2048, reset_num_timesteps=False)
        steps += 2048
    rate = steps / (time.perf_counter() - begin)
    envs.close()
    return rate


def returns_ours(seed: int) -> Return:
    begin = time.perf_counter()
    learner = Learner(make("walker2d", seed), SETTINGS["walker2d"], seed, STEPS)
    while learner.steps < STEPS:
        learner.round()
    seconds = time.perf_counter() - begin
    network = learner.frozen()

    def policy(observation: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(observation)))

    return evaluate(make_task("walker2d", range(EPISODES), threads=THREADS), policy).returns.mean, seconds


def returns_sb3(seed: int) -> Return:
    envs = VecNormalize(DummyVecEnv([lambda: make_env("walker2d")]), gamma=ZOO["gamma"])
    model = PPO("MlpPolicy", envs, device="cpu", seed=seed, **ZOO)
    begin = time.perf_counter()
    model.learn(STEPS)
    seconds = time.perf_counter() - begin

    def policy(observation: np.ndarray) -> np.ndarray:
        seen = envs.normalize_obs(observation)
        return np.asarray(model.predict(seen, deterministic=True)[0])

    return evaluate(make_task("walker2d", range(EPISODES), threads=THREADS), policy).returns.mean, seconds


def returns(seeds: int, keep: Path | None) -> dict[str, Any]:
    """Both ways with as many seeds; what is in the file already is not trained again."""
    done: dict[str, Return] = json.loads(keep.read_text()) if keep and keep.exists() else {}
    for seed in range(1, seeds + 1):
        for who, train in (("ours", returns_ours), ("sb3", returns_sb3)):
            if (key := f"{who} {seed}") not in done:
                done[key] = train(seed)
                print(f"{key}: return {done[key][0]:.0f} after {done[key][1]:.0f} s", file=sys.stderr)
                if keep:
                    keep.write_text(json.dumps(done))
    found = {who: [done[f"{who} {seed}"] for seed in range(1, seeds + 1)] for who in ("ours", "sb3")}
    means = {who: statistics.mean(r for r, _ in results) for who, results in found.items()}
    return {**found, "ratio": means["ours"] / means["sb3"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each measurement")
    parser.add_argument("--returns", type=int, default=0, metavar="SEEDS")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="of the trainings that --returns asks for")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {"threads": THREADS}
    for name in ("walker2d", "reach"):
        alone, whole = physics_alone(name, options.seconds), ours(name, options.seconds)
        found[name] = {"physics_alone": alone, **whole, "share_of_physics": whole["steps_per_second"] / alone}
    torch.set_num_threads(THREADS)  # SB3 as it comes
    peers = {"one process": sb3(options.seconds, processes=False), "8 processes": sb3(options.seconds, processes=True)}
    found["sb3"] = peers
    found["times_sb3"] = found["walker2d"]["steps_per_second"] / max(peers.values())
    if options.returns:
        torch.set_num_threads(1)
        found["returns"] = returns(options.returns, options.keep)
    print(json.dumps(found) if options.json else _table(found))


def _table(found: dict[str, Any]) -> str:
    lines = [f"{'':22}{'steps/s':>10}{'of physics':>12}{'physics':>10}{'rollout':>10}{'update':>10}"]
    for name in ("walker2d", "reach"):
        f = found[name]
        lines.append(f"{name + ', physics alone':22}{f['physics_alone']:10.0f}{'100 %':>12}")
        shares = [f[key] for key in ("share_of_physics", "share_physics", "share_rollout_besides", "share_update")]
        cells = "".join(f"{100 * s:{w}.0f} %" for s, w in zip(shares, (10, 8, 8, 8), strict=True))
        lines.append(f"{name + ', ours':22}{f['steps_per_second']:10.0f}{cells}")
    lines += [f"{'walker2d, SB3 ' + who:22}{rate:10.0f}" for who, rate in found["sb3"].items()]
    lines.append(f"ours is {found['times_sb3']:.1f} times as fast as the faster SB3")
    if "returns" in found:
        lines.append(f"returns at {STEPS:,} steps: {found['returns']}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
