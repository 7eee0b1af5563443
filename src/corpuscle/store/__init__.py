"""Layers on disk beside the images: graphs, tables and shapes, digests, atomic files and the ledger of blocks.

Images themselves are OME-Zarr, in `corpuscle.formats.omezarr`.
"""
