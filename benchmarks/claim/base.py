"""The one policy that all runs start from: trained once, and kept beside the results for whoever goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.console import Console

from benchmarks.claim.arms import ARM
from benchmarks.claim.learning import TASK
from sim.training import checkpoint
from sim.training.settings import SETTINGS
from sim.training.train import LAST, POLICY, train
from sim.transfer.networks import Saved, load_networks, save_networks
from sim.transfer.run import NETWORKS

SEED = 1
FOLDER = "base"


class Base:
    """The frozen policy, and the networks that it was frozen from."""

    def __init__(self, work: Path, results: Path) -> None:
        """`work`: where it is trained; `results`: the folder where it is kept, with its results."""
        self._work, self._kept = work / FOLDER, results / FOLDER
        self.policy = self._kept / POLICY

    def made(self, console: Console) -> bool:
        """Train it if it is not there, by the command that made the one that ships; whether it is there now."""
        if not (self.policy.exists() and (self._kept / NETWORKS).exists()):
            if not self._trained(console):
                return False
            _, learner = checkpoint.load(self._work / LAST)
            self._kept.mkdir(parents=True, exist_ok=True)
            saved = Saved(learner["actor_state_dict"], learner["critic_state_dict"], 0)
            save_networks(saved, self._kept / NETWORKS)
            shutil.copyfile(self._work / POLICY, self.policy)
        return True

    def networks(self) -> Saved:
        """Actor and critic.

        Raises:
            NetworksFileError: they are not there.
        """
        return load_networks(self._kept / NETWORKS)

    def _trained(self, console: Console) -> bool:
        last, settings = self._work / LAST, SETTINGS[TASK]
        begun = last.exists()
        if begun and checkpoint.load(last)[1]["steps"] >= settings.steps and (self._work / POLICY).exists():
            return True
        wanted = checkpoint.Run(
            TASK, ARM, body="base", randomise=True, steps=settings.steps, seed=SEED, settings=settings
        )
        return train(wanted, self._work, console, resume=begun, threads=1).complete
