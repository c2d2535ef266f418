"""Sources → token ids on disk: sources are split into parts, each part becomes a shard, the shards form a store."""
