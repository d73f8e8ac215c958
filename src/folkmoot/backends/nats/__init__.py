"""Core NATS: the bus of several processes, and the server of it that Folkmoot starts itself."""
