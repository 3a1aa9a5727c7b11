"""The daemon: its composition root, what the control socket may ask of it, and how it ends."""
