"""What can be run: small factories that return specifications of children."""
