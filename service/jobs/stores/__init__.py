"""Where jobs are kept: what a store is asked for, and those in SQLite and in Redis."""
