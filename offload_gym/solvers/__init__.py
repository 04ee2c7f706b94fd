"""Solvers: functions from instances to decisions."""
