"""The optimizers and the learning-rate schedules. The default is the paper's AdamW (arXiv 2504.15544, Table 1)."""

import math

from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from anaume.recipe import Stage


def optimizers(network: nn.Module, stage: Stage) -> list[Optimizer]:
    """AdamW for all weights, or with `optimizer = "muon"` Muon for the layers' matrices and AdamW for the rest.

    Muon steps each matrix by its orthogonalised momentum (Jordan and others, 2024). Its steps are scaled to the size of
    AdamW's (Moonlight, arXiv 2502.16982), so that both use the same learning rate.
    """
    weights = dict(network.named_parameters())
    if stage.optimizer == "adamw":
        return [_adamw(list(weights.values()), stage)]
    matrices = {name: p for name, p in weights.items() if p.ndim == 2 and "embeddings" not in name}
    rest = [p for name, p in weights.items() if name not in matrices]
    return [
        Muon(
            matrices.values(),
            lr=stage.learning_rate,
            weight_decay=stage.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        ),
        _adamw(rest, stage),
    ]


def _adamw(weights: list[nn.Parameter], stage: Stage) -> AdamW:
    """AdamW as one fused kernel, with weight decay on matrices only; norms and biases are recognised by their shape."""
    groups = [
        {"params": [p for p in weights if p.ndim >= 2], "weight_decay": stage.weight_decay},
        {"params": [p for p in weights if p.ndim < 2], "weight_decay": 0.0},
    ]
    return AdamW(
        groups,
        lr=stage.learning_rate,
        betas=(stage.adam_beta1, stage.adam_beta2),
        eps=stage.adam_eps,
        fused=True,
    )


def learning_rate(stage: Stage, step: int) -> float:
    """The learning rate of optimizer step `step`, counted from 0: a linear warm-up, then the stage's schedule.

    "wsd" follows Hu and others (MiniCPM, arXiv 2404.06395), with a linear decay.
    """
    if step < stage.warmup_steps:
        return stage.learning_rate * (step + 1) / (stage.warmup_steps + 1)
    decay_steps = stage.decay_steps if stage.schedule == "wsd" else stage.steps - stage.warmup_steps
    left = min(1.0, (stage.steps - step) / max(1, decay_steps))
    share = (1 - math.cos(math.pi * left)) / 2 if stage.schedule == "cosine" else left
    return stage.final_learning_rate + (stage.learning_rate - stage.final_learning_rate) * share
