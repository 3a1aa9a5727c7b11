"""The process that holds the services' logs; it imports next to nothing."""
