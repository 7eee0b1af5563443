"""Small worlds with known answers, written as raw files in the true layout of the real ones.

`nuclei` is a plate of fluorescent nuclei: `cells` grows one cell, `culture` a field of them,
`optics` is the microscope, and `nuclei` lays out the plate and its files.
"""
