"""``python -m gclib.cli`` is ``gcl``, for a process that knows its Python and not its path."""

from gclib.cli import main

main()
