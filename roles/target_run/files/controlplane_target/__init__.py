"""What runs on the target: standard library of Python 3.9 only, laid down by the role target_run, needs no controller."""
