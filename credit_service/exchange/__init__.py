"""What leaves the registry: the transparency log, and the feed of changes."""
