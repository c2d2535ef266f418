"""What evaluations read: files of JSON lines, pairs of texts, MIRACL's own files, samples of a stream of texts."""
