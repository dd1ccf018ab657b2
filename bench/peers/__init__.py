"""Other process managers and supervisors, doing the same work on the same machine."""
