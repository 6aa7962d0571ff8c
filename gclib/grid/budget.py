"""What a grid with little time runs first, and what a cell costs."""

from collections.abc import Iterable

from gclib.grid.cells import Progress, StageLeft
from gclib.methods.stage import Stage

__all__ = ["by_value", "passes", "why"]

# What the book's conclusions compare; the methods of Table 1 come next.
CONCLUSIONS = frozenset(
    "ce ce-mixup ce-mixup-crt mislas ldam-drw gcl-official gcl-official-cben gcl-official-mean gcl-official-no-margin "
    "gcl-official-lws gcl-official-tau-chosen gcl-paper ce-unified ldam-drw-unified logit-adjustment-unified "
    "crt-unified gcl-unified".split()
)

# What they need once: a row that was made otherwise before, why a row ends low, what a best epoch is worth, which tau.
ONCE = frozenset("bbn hybrid-sc-all ce-gcl-script ce-every-epoch ce-mixup-tau-chosen".split())


def passes(left: StageLeft) -> float:
    """What is left of a stage, in images forward and backward through the network."""
    return left.images * Stage.methods[left.method].work


def _rank(one: Progress) -> tuple[int, int, float]:
    cell = one.cell
    rests = cell.recipe in CONCLUSIONS or (cell.recipe in ONCE and cell.seed == 0)
    rests = rests and cell.ratio == 100
    first = {"cifar10": 0, "cifar100": 1}.get(cell.data, 2) if rests else 2
    return first, cell.seed, sum(map(passes, one.left))


def by_value(progress: Iterable[Progress]) -> list[Progress]:
    """Order the open cells, the most valuable first.

    The rule: what the book's conclusions compare at ratio 100, on CIFAR-10-LT and then on CIFAR-100-LT; then all
    others. Within each, first seeds before second ones, and cheap cells before dear ones.
    """
    return sorted((one for one in progress if one.open), key=_rank)


def why(one: Progress) -> str:
    """Say in a few words where a cell stands in the order of `by_value`."""
    rank, seed, _ = _rank(one)
    return f"{'a conclusion rests on it' if rank < 2 else 'no conclusion rests on it'}, seed {seed}"
