"""The commands that talk to a running supervisor; each module is imported when it is asked for."""
