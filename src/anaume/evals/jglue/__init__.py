"""JGLUE and JCoLA by fine-tuning: the tasks and their files, the protocols, and the trials of a grid."""
