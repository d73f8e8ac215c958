"""`python -m folkmoot.cli`."""

from folkmoot.cli.main import main

main()
