"""What Folkmoot asks of the outside: a store, a bus, a clock. The one place for interfaces."""
