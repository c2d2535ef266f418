"""The Python API: one function for each verb, and an encoder for texts. `anaume` itself offers these names."""
