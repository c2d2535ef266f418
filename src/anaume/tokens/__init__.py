"""Document → uint32 ids on disk: the tokenizer, the store and the job that fills it."""
