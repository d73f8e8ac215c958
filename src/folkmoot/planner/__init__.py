"""How many machines some users need: a sum in steps, on what was measured, and a simulation of what it cannot say."""
