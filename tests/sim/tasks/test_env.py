"""One task, two uses: a Gymnasium environment and hundreds of simulations at once give the same, step by step."""

import warnings
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import sim.tasks
from sim.tasks import ENVIRONMENTS, UnknownTaskError, make_env, make_task

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("reach", {"randomise": True}),
    ("reach", {"arm": "koch-v1.1"}),
    ("track", {"arm": "koch-v1.1", "randomise": True}),
    ("track", {"arm": "xl330-pendulum"}),
    ("hold", {"randomise": True}),
    ("walker2d", {"body": "short"}),
]


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_gymnasium_finds_nothing_wrong(name: str) -> None:
    env = gymnasium.make(ENVIRONMENTS[name])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*infinity.*")  # nobody knows how fast a thing may be seen to move
        warnings.filterwarnings("ignore", message=".*render.*")
        check_env(env.unwrapped, skip_render_check=True)


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=[f"{n}-{'-'.join(map(str, o))}" for n, o in VARIANTS])
def test_environment_and_batch_are_equal(name: str, options: dict[str, Any]) -> None:
    seeds = [11, 12, 13]
    batch = make_task(name, seeds, threads=2, **options)
    batch.reset()
    envs = [make_env(name, **options) for _ in seeds]
    for row, (env, seed) in enumerate(zip(envs, seeds, strict=True)):
        observation, _ = env.reset(seed=seed)
        assert np.array_equal(observation, batch.observation[row])
    random = np.random.default_rng(0)
    restarts = 0
    for _ in range(80):
        actions = random.uniform(-1, 1, (len(seeds), batch.action_size)).astype(np.float32)
        batch.step(actions)
        for row, env in enumerate(envs):
            observation, reward, terminated, truncated, info = env.step(actions[row])
            assert np.array_equal(observation, batch.observation[row])
            assert reward == batch.reward[row]
            assert (terminated, truncated) == (batch.terminated[row], batch.truncated[row])
            assert info["error"] == batch.error[row]
        over = np.flatnonzero(batch.done)
        batch.reset(over)
        for row in over.tolist():
            observation, _ = envs[row].reset()
            assert np.array_equal(observation, batch.observation[row])
            restarts += 1
    if name == "walker2d":
        assert restarts > 0


def test_walker2d_is_gyms() -> None:
    """Against Gym's own file in plain MuJoCo, scored as Gym's documentation of v4 says."""
    file = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "walker2d.xml"
    model = mujoco.MjModel.from_xml_path(str(file))
    data = mujoco.MjData(model)
    ours = make_task("walker2d", [0])
    ours.reset()
    data.qpos[:], data.qvel[:] = ours.batch.qpos[0], ours.batch.qvel[0]
    random = np.random.default_rng(0)
    while not ours.terminated[0]:
        action = random.uniform(-1.3, 1.3, 6)
        x = data.qpos[0]
        data.ctrl[:] = action
        mujoco.mj_step(model, data, 4)
        healthy = 0.8 < data.qpos[1] < 2.0 and -1.0 < data.qpos[2] < 1.0
        reward = (data.qpos[0] - x) / 0.008 + healthy - 1e-3 * np.square(action).sum()
        ours.step(action[None])
        assert ours.observation[0] == pytest.approx([*data.qpos[1:], *np.clip(data.qvel, -10, 10)], abs=1e-5)
        assert ours.terminated[0] == (not healthy)
        assert ours.reward[0] == pytest.approx(reward, abs=1e-6)
    assert ours.steps[0] > 5


def test_the_same_seed_is_the_same_episode() -> None:
    env = make_env("reach", randomise=True)
    first, again, other = env.reset(seed=3)[0], env.reset(seed=3)[0], env.reset(seed=4)[0]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_unknown_tasks_are_named() -> None:
    with pytest.raises(UnknownTaskError, match="juggle"):
        sim.tasks.make_task("juggle", [0])


def test_an_arm_of_one_joint_reaches_no_point() -> None:
    with pytest.raises(UnknownTaskError, match="use 'hold' or 'track'"):
        make_task("reach", [0], arm="xl330-pendulum")
