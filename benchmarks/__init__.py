"""Our figures beside the peers', rerunnable: ``python -m benchmarks``, or one of them alone by its name."""
