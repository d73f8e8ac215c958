"""Public test tools: the suites that judge a store and a bus, and a link between two sessions."""
