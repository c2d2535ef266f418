"""anaume (穴埋め): pretrain, extend and evaluate ModernBERT encoders, Japanese first."""

__version__ = "0.1.0"
