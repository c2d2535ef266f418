"""Token ids → PackedBatch. Order, packing and masking are functions of the seed and a position."""
