"""``python -m benchmarks report``: the results of a folder as one HTML page that needs nothing else."""
