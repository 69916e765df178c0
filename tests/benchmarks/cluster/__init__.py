"""What a cluster costs, and what it gives."""
