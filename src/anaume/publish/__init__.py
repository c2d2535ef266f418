"""An export of a run → what the Hub shows beside it: the model card, evaluation results, the recipe and the report."""
