"""Whether a finished demo has learned what it promises (README): exits with 1 and says what falls short."""

import sys
from pathlib import Path

from anaume.evals.record import load_record
from anaume.run import Run


def main(folder: Path) -> int:
    run = Run(folder)
    names = run.checkpoints()
    ends = {name.stage: name for name in names}

    def metric(name: str, task: str, key: str) -> float:
        return load_record(run.evals / name / f"{task}.json").metrics[key]

    start, stage1, end = names[0].model, ends["stage1"].model, ends["stage2"].model
    cloze = metric(end, "fill-mask", "accuracy_at_1")
    recall, recall_0 = (metric(name, "retrieval", "recall_at_10") for name in (end, start))
    long_1, long_2 = (metric(name, "validation", "long_loss") for name in (stage1, end))
    checks = {
        f"cloze questions right at the first guess: {cloze:.1%}, at least 50 %": cloze >= 0.5,
        f"Recall@10: {recall:.1%}, at least twice step 0's {recall_0:.1%}": recall >= 2 * recall_0,
        f"loss on almanacs: {long_2:.3f} after stage 2, below stage 1's {long_1:.3f}": long_2 < long_1,
        f"a report: {run.report_page}": run.report_page.is_file(),
    }
    for line, kept in checks.items():
        print("kept  " if kept else "BROKEN", line)
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
