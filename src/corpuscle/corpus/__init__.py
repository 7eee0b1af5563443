"""Records on disk: where they lie, how they are split, what leaks between the parts, what is broken."""
