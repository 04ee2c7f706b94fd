"""Readers of files that hold applications, one module a format; ``offload_gym.applications.loading`` picks one."""
