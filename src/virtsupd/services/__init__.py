"""One module for each kind of service."""
