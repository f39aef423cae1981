"""The cases of bench_model: one file per data set or question."""
