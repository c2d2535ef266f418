"""Logits of a split → the metrics of a task."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from anaume.evals.jglue.tasks import JglueTask
from anaume.finetune import spans
from anaume.finetune.items import Encoded
from anaume.finetune.metrics import accuracy, answer_scores, matthews, pearson, spearman


def measure(task: JglueTask, encoded: Encoded, outputs: Sequence[NDArray[np.float32]]) -> dict[str, float]:
    """Return the task's metrics on a split, all in [−1, 1]; `outputs` are the logits of `finetune.train.predict`."""
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
