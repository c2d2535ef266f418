"""JGLUE and JCoLA by fine-tuning: the tasks and their files, the protocols, and the grid of trainings."""
