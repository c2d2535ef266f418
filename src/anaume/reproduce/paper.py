"""The paper's own numbers: Sugiura, Nakayama and Oda, "llm-jp-modernbert", arXiv 2504.15544 (2025).

The rule: a constant here is a number that the paper or the README of its model prints, and names its table or figure.
"""

SOURCE = "Sugiura, Nakayama and Oda, “llm-jp-modernbert”, arXiv 2504.15544"

# Table 1: what it lists → stage 1, stage 2.
TRAINING = {
    "maximum length": ("1,024", "8,192"),
    "steps": ("500,000", "200,000"),
    "tokens in a batch": ("3,407,872", "3,145,728"),
    "peak learning rate": ("5e-4", "5e-5"),
    "warm-up steps": ("24,000", "24,000"),
    "schedule": ("linear", "linear"),
    "optimizer": ("AdamW", "AdamW"),
    "betas, eps, weight decay": ("0.9, 0.98, 1e-06, 1e-05", "0.9, 0.98, 1e-06, 1e-05"),
    "masked, of those mask / random": ("30 %, 80 % / 10 %", "30 %, 80 % / 10 %"),
    "theta": ("10,000", "10,000"),
    "documents, rows": ("truncate, padded", "truncate, padded"),
}
# Table 2: share of the steps of stage 1, or "stage 2" → JSTS (Pearson), JNLI and JCoLA (accuracy), × 100.
JGLUE: dict[float | str, tuple[float, float, float]] = {
    0.008: (77.7, 68.4, 83.9),
    0.03: (90.5, 89.0, 84.3),
    0.1: (92.1, 92.0, 86.2),
    0.2: (92.1, 91.8, 86.1),
    0.4: (92.0, 92.7, 85.0),
    0.6: (92.0, 91.9, 85.2),
    0.8: (92.1, 92.0, 85.5),
    1.0: (92.1, 92.0, 84.5),
    "stage 2": (91.8, 91.3, 84.4),
}
# Table 4: Recall@10 and MRR@10 on 3,477 instances of MIRACL-ja, the model's from the README of its repository.
RETRIEVAL = {
    "the model": (0.574, 0.389),
    "Edit distance": (0.289, 0.198),
    "Jaccard": (0.031, 0.021),
}
