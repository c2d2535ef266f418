"""Logits of a split → the metrics of a task."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from anaume.evals.jglue.tasks import JglueTask
from anaume.finetune import spans
from anaume.finetune.items import Encoded
from anaume.finetune.metrics import accuracy, answer_scores, matthews, pearson, spearman


def finite(outputs: Sequence[NDArray[np.float32]]) -> bool:
    """Whether all logits are numbers; those of a training that diverged are not."""
    return all(bool(np.isfinite(output).all()) for output in outputs)


def _names(task: JglueTask) -> tuple[str, ...]:
    if task.kind == "span":
        return "exact_match", "f1"
    if task.kind == "similarity":
        return "pearson", "spearman"
    return ("accuracy", "mcc") if task.name == "jcola" else ("accuracy",)


def measure(task: JglueTask, encoded: Encoded, outputs: Sequence[NDArray[np.float32]]) -> dict[str, float]:
    """Return the task's metrics on a split, all in [−1, 1]; `outputs` are the logits of `finetune.train.predict`.

    Logits that are not finite score 0, the lowest value of a fraction: such a training diverged, and its first class
    or empty answer must not earn what chance gives.
    """
    if not finite(outputs):
        return dict.fromkeys(_names(task), 0.0)
    if task.kind == "span":
        return answer_scores(spans.best_answers(encoded.windows, outputs, encoded.examples), encoded.examples)
    labels = np.array([example.label for example in encoded.examples])
    if task.kind == "similarity":
        similarities = np.array([output[0] for output in outputs], dtype=np.float64)
        return {"pearson": pearson(similarities, labels), "spearman": spearman(similarities, labels)}
    classes = np.array([output.argmax() for output in outputs], dtype=np.float64)
    metrics = {"accuracy": accuracy(classes, labels)}
    if task.name == "jcola":
        metrics["mcc"] = matthews(classes, labels)
    return metrics
