"""The pure engine: names, definitions, the graph and what happens in it."""
