"""What a GPU does with these networks: right, how fast, and how that is best computed there.

`probe` tries it in a minute and a half and writes a report; each part is guarded, so one that fails stops no other.
"""

from gclib.grid.bench.probe import fastest, probe

__all__ = ["fastest", "probe"]
