"""Arrays in, arrays out: what is done to pixels. No files, no `Image`; parameters bind with `functools.partial`."""
