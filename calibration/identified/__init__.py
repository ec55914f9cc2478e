"""The identified arm as a world of its own: what a policy does there, before it flies and while maps learn."""
