"""`anaume plan`: what a recipe costs in arithmetic, memory, disk, days and GPU-hours, computed before anyone pays."""
