"""Steps of training that can be interrupted anywhere: what a step does depends on its number only."""

import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from experiments.train.recipes import BATCH, CONTEXT, SEED, Recipe, build_model
from experiments.train.tokens import TokenData

WARM_UP = 100  # steps, or a tenth of all if that is less
FINAL = 0.05  # of the learning rate, at the last step
WEIGHT_DECAY = 0.1
CLIP = 1.0


class Trainer:
    """A model on its way. step: steps done; steps: how many there will be; cpu_seconds: processor time of them."""

    def __init__(self, recipe: Recipe, data: TokenData, context: int = CONTEXT) -> None:
        self.model = build_model(recipe.shape)
        self.recipe, self.data, self.context = recipe, data, context
        self.step, self.steps, self.cpu_seconds = 0, recipe.steps, 0.0
        decayed, kept = [], []
        for name, parameter in self.model.named_parameters():
            is_matrix = parameter.ndim == 2 and name.endswith(".weight")
            (decayed if is_matrix else kept).append(parameter)
        groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": kept, "weight_decay": 0.0}]
        # RWKV-7's embedding starts at 1e-4, and its gradients are as small: a usual epsilon would hide them.
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), eps=1e-10, foreach=True)

    def advance(self) -> float:
        """Do one step; returns its loss in nats a token."""
        start = time.process_time()
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * schedule(self.step, self.steps)
        tokens = draw_windows(self.data, self.step, self.context)
        loss = F.cross_entropy(self.model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        self.cpu_seconds += time.process_time() - start
        return loss.item()

    def save(self, path: Path) -> None:
        """Write a checkpoint; the old one is replaced only by a whole new one."""
        partial = path.with_suffix(".partial")
        progress = {"step": self.step, "steps": self.steps, "cpu_seconds": self.cpu_seconds}
        torch.save({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), **progress}, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint of the same recipe."""
        kept = torch.load(path)
        self.model.load_state_dict(kept.pop("model"))
        self.optimizer.load_state_dict(kept.pop("optimizer"))
        vars(self).update(kept)


def schedule(step: int, steps: int) -> float:
    """Share of the highest learning rate: a linear rise, then half a cosine down to FINAL."""
    warm_up = min(WARM_UP, steps // 10)
    if step < warm_up:
        return (step + 1) / warm_up
    progress = min((step - warm_up) / max(steps - warm_up, 1), 1.0)
    return FINAL + (1 - FINAL) * (1 + math.cos(math.pi * progress)) / 2


def draw_windows(data: TokenData, step: int, context: int) -> torch.Tensor:
    """The windows of a step, int64 [BATCH, context + 1]: each from a corpus drawn by its share, at a random place."""
    generator = torch.Generator().manual_seed(SEED * 1_000_003 + step)
    names = list(data.training)
    shares = torch.tensor([data.shares[name] for name in names])
    windows = []
    for choice in torch.multinomial(shares, BATCH, replacement=True, generator=generator).tolist():
        stream = data.training[names[choice]]
        start = int(torch.randint(len(stream) - context, (), generator=generator))
        windows.append(stream[start : start + context + 1])
    return torch.stack(windows).long()
