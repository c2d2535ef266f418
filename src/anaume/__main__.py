"""`python -m anaume`, the form that `torchrun -m` launches."""

from anaume.cli import main

main()
