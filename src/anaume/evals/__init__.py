"""An exported encoder → one JSON record a task."""
