"""The processes that train together: who they are, how they stop, and how all of them end when one fails."""
