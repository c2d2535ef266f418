"""The logged curves of every run, and those of several runs laid over each other."""
