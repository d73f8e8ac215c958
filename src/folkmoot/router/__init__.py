"""Order: decides sends, stores what was decided, publishes it."""
