"""What is taken out of a store for others: networks with their provenance, and poisoned training images."""
