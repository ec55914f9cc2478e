"""Training of the residuals: a linear part by ridge regression towards physics, then an ensemble on what is left of it.

Everything is in units of the standard deviation of what physics leaves over on the training data, joint by joint.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from calibration.maps.modules import Residual, TorqueMap
from calibration.physics.numbers import MOST_LOAD_FRICTION

RIDGE = 1e-3
"""Times the number of samples: what keeps the linear part's weights small where taps say the same."""
NOISE = 0.05
"""Standard deviations that are added to the features in training: histories must not be read to the last digit."""
DECAY = 1e-2
CLIP = 2.0
"""Standard deviations of what the linear part leaves over: the networks add no more than these."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How long to train."""

    epochs: int = 80
    batch: int = 512
    rate: float = 3e-3


Samples = tuple[Tensor, Tensor, Tensor]
"""Features (joints, samples, features), targets and weights (joints, samples, 1)."""


def normalise(residual: Residual, x: Tensor, weight: Tensor) -> None:
    """Features in units of their spread in these samples: the places that it will know."""
    mean, spread = _moments(x, weight)
    residual.mean.copy_(mean)
    residual.scale.copy_(torch.where(spread > 1e-6, 1.0 / spread.clamp(min=1e-6), torch.zeros_like(spread)))


def fit_linear(residual: Residual, x: Tensor, y: Tensor, weight: Tensor, most: Tensor, *, zero: bool = False) -> None:
    """Lay a plane through what physics leaves over, of a residual that is normalised; `zero`: through nothing.

    most: (joints), the largest residual allowed.
    """
    z = (x - residual.mean) * residual.scale
    total = weight.sum(dim=1, keepdim=True).clamp(min=1.0)
    low, centre = ((weight * a).sum(dim=1, keepdim=True) / total for a in (z, y))
    z = z - low
    eye = torch.eye(x.shape[2], dtype=x.dtype) * RIDGE * total
    gram = z.transpose(1, 2) @ (weight * z) + eye
    residual.linear.copy_(torch.linalg.solve(gram, z.transpose(1, 2) @ (weight * (y - centre))))
    residual.bias.copy_(centre - low @ residual.linear)
    if zero:
        residual.linear.zero_()
        residual.bias.zero_()
    residual.most.copy_(most.reshape(-1, 1, 1))
    residual.clip.zero_()


def joined(some: Samples, others: Samples) -> Samples:
    """One behind the other."""
    x, y, weight = (torch.cat(pair, dim=1) for pair in zip(some, others, strict=True))
    return x, y, weight


def _moments(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every feature."""
    total = weight.sum(dim=1, keepdim=True).clamp(min=1.0)
    mean = (weight * x).sum(dim=1, keepdim=True) / total
    return mean, ((weight * (x - mean) ** 2).sum(dim=1, keepdim=True) / total).sqrt()


def fit_ensemble(
    residual: Residual,
    x: Tensor,
    y: Tensor,
    weight: Tensor,
    *,
    budget: Budget | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> None:
    """Train all members of all joints at once, each on its own draw of the samples."""
    budget = budget or Budget()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        left = (y - residual.members(x)[0]) ** 2  # the networks say nothing yet
        unit = ((weight * left).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True).clamp(min=1.0)).sqrt()
        unit = unit.clamp(min=1e-6)
        residual.clip.copy_(CLIP * unit)
    optimizer = torch.optim.AdamW(residual.ensemble.parameters(), lr=budget.rate, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, budget.epochs)
    noise = NOISE / residual.scale.clamp(min=1e-6) * (residual.scale > 0)
    members, samples = residual.ensemble.members, x.shape[1]
    usable = torch.nonzero(weight.amax(dim=(0, 2)) > 0)[:, 0]
    for epoch in range(budget.epochs):
        order = usable[torch.randperm(len(usable), generator=generator)]
        for rows in torch.split(order, budget.batch):
            features = x[:, rows] + noise * torch.randn(x[:, rows].shape, generator=generator)
            predicted = residual.members(features)
            chosen = torch.rand((members, 1, len(rows), 1), generator=generator) < 0.8
            loss = nn.functional.smooth_l1_loss(
                predicted / unit, (y[:, rows] / unit).expand_as(predicted), reduction="none"
            )
            loss = (loss * chosen * weight[:, rows]).sum() / (members * weight[:, rows].sum().clamp(min=1.0))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        schedule.step()
        if (epoch + 1) % 20 == 0:
            progress(f"maps: epoch {epoch + 1} of {budget.epochs}, {samples} samples")


INVERTED = ("constant", "resistance", "coulomb", "viscous", "load", "supply")
"""Numbers of a torque map that are tuned to the motion as it was measured."""
LOOSE = 1.0
"""Prior standard deviation of their logarithms around the identified ones."""
PRIOR = 3e-4
"""What a deviation of that size costs, as a share of what the identified ones leave over."""


def fit_inverse(torque_map: TorqueMap, x: Tensor, y: Tensor, weight: Tensor, steps: int = 60) -> None:
    """Tune the map's physics to give the recorded commands (joints, samples, 1) for the motion as measured.

    Backwards through the physics, what measures badly (acceleration) is an input and not an outcome, so the numbers
    that are best here are not those that simulate best; they start there and are held there where the data say nothing.
    """
    start = torch.cat([getattr(torque_map, name) for name in INVERTED], dim=2).clamp(min=1e-4).log()  # joints, 1, 6
    most = start + 3.0
    load = INVERTED.index("load")
    most[:, :, load] = most[:, :, load].clamp(max=math.log(MOST_LOAD_FRICTION))
    start = torch.minimum(start, most)
    count = start.shape[2]
    total = weight.sum(dim=1, keepdim=True).clamp(min=1.0)

    def errors(log: Tensor) -> Tensor:
        for i, name in enumerate(INVERTED):
            getattr(torque_map, name).copy_(log[:, :, i : i + 1].exp())
        return torque_map.parts(x)[1] - y

    def cost(error: Tensor, log: Tensor) -> Tensor:
        return (weight * error**2).sum(dim=1, keepdim=True) / total / unit + ((log - start) / LOOSE) ** 2 @ ones

    ones = torch.full((count, 1), PRIOR)
    with torch.no_grad():
        log, error = start.clone(), errors(start)
        unit = (weight * error**2).sum(dim=1, keepdim=True) / total
        best, damping = cost(error, log), torch.full((len(start), 1, 1), 1.0)
        for _ in range(steps):
            columns = [(errors(log + 1e-3 * torch.eye(count)[i]) - error) / 1e-3 for i in range(count)]
            jacobian = torch.cat(columns, dim=2)
            hessian = jacobian.transpose(1, 2) @ (weight * jacobian) / total / unit + PRIOR / LOOSE**2 * torch.eye(
                count
            )
            gradient = jacobian.transpose(1, 2) @ (weight * error) / total / unit
            gradient += PRIOR * ((log - start) / LOOSE**2).transpose(1, 2)
            scaled = hessian + damping * torch.diag_embed(torch.diagonal(hessian, dim1=1, dim2=2))
            step = torch.linalg.solve(scaled, -gradient).transpose(1, 2).clamp(-0.15, 0.15)
            tried = torch.minimum((log + step).clamp(min=start - 3.0), most)
            after = errors(tried)
            new = cost(after, tried)
            better = new < best
            log, error = torch.where(better, tried, log), torch.where(better, after, error)
            best, damping = (
                torch.where(better, new, best),
                torch.where(better, damping / 3, damping * 4).clamp(1e-6, 1e6),
            )
        errors(log)
