"""Agents that learn to offload: imitation (teacher), distillation (student), reinforcement learning."""
