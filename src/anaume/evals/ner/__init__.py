"""Entities: data, scores, and the task of finding them by fine-tuning."""
