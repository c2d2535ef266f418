"""Which evaluation items share a run of characters with the training text?"""
