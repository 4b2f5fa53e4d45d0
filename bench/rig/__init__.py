"""What the benches share: agents as processes of their own, and drivers that run inside them."""
