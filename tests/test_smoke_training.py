"""Stage two of GCL lifts the tail of the digits above cross-entropy's."""

from collections.abc import Callable

from training import few_shot_accuracy, smoke_runs


def test_tail_accuracy_of_gcl_is_above_that_of_cross_entropy(once: Callable) -> None:
    few = {name: few_shot_accuracy(smoke_runs(name, once)) for name in ("ce", "gcl-official")}
    assert few["gcl-official"] > few["ce"], few
    assert few["gcl-official"] > few_shot_accuracy(smoke_runs("gcl-official", once), 0)
