"""The asynchronous shell around the engine."""
