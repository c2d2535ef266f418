"""Upper bounds of the numbers that a user gives.

No sensible value reaches them. They turn a typing error into one line, where it would otherwise take days, the memory,
or a traceback of a library that counts in 64 bits.
"""

MOST_STEPS = 10**9
MOST_LENGTH = 1 << 20  # tokens of a text
MOST_TOKENS = 10**12  # also characters
MOST_PIECES = 10**7  # of a vocabulary
MOST_EPOCHS = 10_000
MOST_ROWS = 1 << 20  # of a batch
MOST_ITEMS = 10**7  # documents, pairs, masked tokens or answers to look at
MOST_SEED = (1 << 32) - 1  # what NumPy takes
MOST_PROCESSES = 10_000
MOST_GPUS = 10**6
MOST_HOURS = 10**6
MOST_LEARNING_RATE = 100
