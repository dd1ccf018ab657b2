"""One frame to many clients: ours, beside the libraries that others would take for it."""
