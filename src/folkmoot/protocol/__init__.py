"""Bytes to events and back, and the rules of one connection: no socket, no clock."""
