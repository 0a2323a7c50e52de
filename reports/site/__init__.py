"""A static site of results: an index, a page a data set and architecture, a defense, an attack, and a cell."""
