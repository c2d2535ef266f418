"""`anaume plan`: what a recipe costs in arithmetic, memory, disk, days and GPU-hours, before anyone pays for it."""
