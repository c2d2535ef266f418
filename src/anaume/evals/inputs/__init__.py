"""What evaluations read: pairs of texts, cloze questions, MIRACL's files, training sets, samples of a stream."""
