"""ids → PackedBatch: order, packing and masking, each a function of the seed and an index."""
