"""``python -m benchmarks speed``: kernels, environments and solver against references in the same run."""
