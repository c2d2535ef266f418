"""Text → Document: readers of files, of Hub data sets and of the built-in corpus."""
