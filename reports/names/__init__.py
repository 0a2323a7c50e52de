"""How a paper spells the names of plugins, and what it cites for them."""
