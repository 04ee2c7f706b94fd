"""What is compared, how it is run, analysed and drawn. ``python -m benchmarks --help`` lists the commands."""
