"""What a grid with little time runs first, and what a cell costs."""

from collections import Counter
from collections.abc import Iterable

from gclib.grid.cells import Cell, Progress, StageLeft
from gclib.train.effort import method_of

__all__ = ["by_value", "passes", "why"]

# What the findings of the front page compare; `gclib.tables.answers` says them.
FINDINGS = frozenset(
    "ce ce-mixup-ncm mislas gcl-official-cben gcl-official-effective gcl-official-mean gcl-paper "
    "gcl-paper-cross-entropy gcl-unified ce-unified ldam-drw-unified logit-adjustment-unified ncm-unified".split()
)

# What the book's conclusions compare; the methods of Table 1 come next.
CONCLUSIONS = FINDINGS | frozenset(
    "ce-mixup ce-mixup-crt ldam-drw gcl-official gcl-official-no-margin gcl-official-lws gcl-official-tau-chosen "
    "crt-unified".split()
)

# What they need once: a row that was made otherwise before, why a row ends low, what a best epoch is worth, which tau.
ONCE = frozenset("bbn hybrid-sc-all ce-gcl-script ce-every-epoch ce-mixup-tau-chosen".split())


def passes(left: StageLeft) -> int:
    """What is left of a stage, in images forward and backward through the network."""
    return left.images * method_of(left.settings).passes(left.settings)


def _rank(cell: Cell) -> int:
    """0 where a finding rests on a cell, on CIFAR-10-LT; 1: another conclusion; 2: on CIFAR-100-LT; 3: none."""
    rests = cell.recipe in CONCLUSIONS or (cell.recipe in ONCE and cell.seed == 0)
    if not rests or cell.ratio != 100:
        return 3
    return {"cifar10": 0 if cell.recipe in FINDINGS else 1, "cifar100": 2}.get(cell.data, 3)


def by_value(progress: Iterable[Progress]) -> list[Progress]:
    """Order the open cells, the most valuable first.

    The rule: at ratio 100 what the findings of the front page compare on CIFAR-10-LT, then what other conclusions of
    the book do, there and then on CIFAR-100-LT; then all others. Within each, by worth for an image pass: a second
    seed is worth half of a first, a third a third. A stage that several cells need counts once: each bears its share,
    and none of it once one of them is chosen.
    """
    waiting = [one for one in progress if one.open]
    sharing = Counter(left.hash for one in waiting for left in one.left)
    chosen: list[Progress] = []
    paid = set[str]()

    def key(one: Progress) -> tuple[int, float]:
        own = (passes(left) / sharing[left.hash] for left in one.left if left.hash not in paid)
        return _rank(one.cell), (1 + one.cell.seed) * sum(own)

    while waiting:
        best = min(waiting, key=key)
        waiting.remove(best)
        chosen.append(best)
        paid |= {left.hash for left in best.left}
    return chosen


def why(one: Progress) -> str:
    """Say in a few words where a cell stands in the order of `by_value`."""
    rests = ("a finding", "a conclusion", "a conclusion", "no conclusion")[_rank(one.cell)]
    cost = sum(map(passes, one.left))
    return f"{rests} rests on it, seed {one.cell.seed}, {cost / 1e6:.1f} million image passes"
