"""A study that is run while its processes are killed, until it is done, with the bits it must have.

`python -m chaos --help`, tests on PYTHONPATH.
"""
