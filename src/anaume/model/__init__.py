"""PackedBatch → loss: the ModernBERT network, its attention over packed rows, and what both cost."""
