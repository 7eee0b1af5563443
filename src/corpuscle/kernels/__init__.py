"""Loops over voxels, compiled: what NumPy cannot say at the speed of memory. Arrays in, arrays out.

Nothing is re-exported, so that only who calls a kernel waits for the compiler to load.
"""
