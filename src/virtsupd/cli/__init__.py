"""The two commands, virtsupd and virtsupctl."""
