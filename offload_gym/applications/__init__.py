"""Applications: tasks that depend on each other, as data, from presets, files and models."""
