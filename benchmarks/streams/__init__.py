"""Policies of streams compared: ``python -m benchmarks streams``."""
