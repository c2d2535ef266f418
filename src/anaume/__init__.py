"""anaume (穴埋め): pretrain, extend and evaluate ModernBERT encoders, Japanese first.

What the verbs of the command line do, from Python. Importing `anaume` imports nothing heavy; a name is imported when it
is first used. `export`, `finetune`, `pretrain` and `report` are packages as well as functions. Python sets the name of
an imported package on its parent, so a plain function of that name would be replaced by `import anaume.pretrain.loop`.
Therefore these packages themselves can be called (`anaume.verbs`), and each name always means the same object.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from anaume.errors import Incomplete, UserError

if TYPE_CHECKING:
    from anaume.api.texts import TextEncoder as Encoder
    from anaume.api.verbs import evaluate, evaluate_run, export, finetune, pretrain, report
    from anaume.evals.record import Record
    from anaume.model.padded import fast

__version__ = "0.1.0"

__all__ = [
    "Encoder",
    "Incomplete",
    "Record",
    "UserError",
    "__version__",
    "evaluate",
    "evaluate_run",
    "export",
    "fast",
    "finetune",
    "pretrain",
    "report",
]

# Name → module, and the name there. A package that can be called stands for itself.
_PLACES = {
    "Encoder": ("anaume.api.texts", "TextEncoder"),
    "Record": ("anaume.evals.record", "Record"),
    "evaluate": ("anaume.api.verbs", "evaluate"),
    "evaluate_run": ("anaume.api.verbs", "evaluate_run"),
    "export": ("anaume.export", ""),
    "fast": ("anaume.model.padded", "fast"),
    "finetune": ("anaume.finetune", ""),
    "pretrain": ("anaume.pretrain", ""),
    "report": ("anaume.report", ""),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'anaume' has no attribute {name!r}")
    module, attribute = _PLACES[name]
    value = import_module(module)
    return getattr(value, attribute) if attribute else value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
