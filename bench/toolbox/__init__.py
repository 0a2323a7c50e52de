"""What plugins compute with: looking into networks, and training them."""
