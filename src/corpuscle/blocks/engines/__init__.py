"""Where units of work are carried out. Whatever the engine, the answer is the same bytes."""
