"""From TOML files to checked definitions of services."""
