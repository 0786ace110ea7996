"""The engine of `python -m course watch`: what was saved, the process that runs the test, the picture of it."""
