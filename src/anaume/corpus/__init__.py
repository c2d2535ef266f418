"""text → Document: readers of files, Hub data sets and the built-in corpus."""
