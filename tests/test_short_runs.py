"""What the page on runs that fall short says in words holds."""

from gclib import ROOT, records, tables


def test_what_is_said_of_the_short_runs_of_hybrid_sc_holds() -> None:
    short = records.find(ROOT / "results", scale="short", dataset="cifar10", ratio=100)
    made = {run.name: run for run in short}
    assert {len(run.stages[0].course.loss) for run in short} == {60}
    plain, crops = made["hybrid-sc"], made["hybrid-sc-resized-crop"]
    every = records.find(ROOT / "results", scale="paper", repeats=True)
    jitter, warm = made["hybrid-sc-jitter"], made["hybrid-sc-warmup"]
    joint, whole = made["hybrid-sc-joint"], made["hybrid-sc-all"]
    chance = tables.Chance(every)
    for other in (crops, jitter, warm, whole):  # "no further from the recipe's than chance moves"
        assert chance.between([other], [plain])[1].crosses_zero
    apart = chance.between([joint], [plain])[1]
    assert apart.difference < -apart.half  # "lower by more than chance"
    assert max(short, key=lambda run: run.clean.top1) is jitter  # "Jitter ends highest"
    assert jitter.clean.few > plain.clean.few + 2  # "and with it the few-shot classes gain"
    known = [run.stages[0].course.train_accuracy[-1] for run in (plain, crops, joint, whole)]
    assert known[1] < known[0] - 10  # "knows far fewer of the training images"
    assert abs(known[2] - known[0]) < 1  # "the classifier knows as many training images"
    assert known[3] < known[0] - 10  # "fewer training images are known, too"
    assert joint.clean.top1 < whole.clean.top1 < crops.clean.top1  # "between that with the crops"
    lost, gained = plain.clean.few - joint.clean.few, joint.clean.many - plain.clean.many
    assert 2.5 < lost / gained < 3.5  # "lose three times what the many-shot classes gain"
    gain, loss = crops.clean.few - plain.clean.few, plain.clean.many - crops.clean.many
    assert min(gain, loss) > 4  # "the few-shot classes gain"
    assert abs(gain - loss) < 1  # "and the many-shot classes lose about as much"


def test_two_rows_end_below_their_printed_numbers_each_in_a_single_run() -> None:
    runs = records.find(ROOT / "results", scale="paper", repeats=True)
    kept = tables.by_recipe(tables.usable(runs, [1], "cifar10", 100))
    table = tables.results_table([run for group in kept.values() for run in group])
    rows = {row[0][0]: (row[1][0], row[2][0]) for row in table.rows}
    told = {name: said for name, (_, said) in rows.items() if said != "not told apart"}
    assert told == {"BBN": "lower", "Hybrid-SC": "lower"}
    assert len(kept["bbn"]) == len(kept["hybrid-sc"]) == 1
    below = [float(rows[name][0].split(" ± ")[0]) for name in told]
    assert below[1] < below[0] < 0  # "and, by less, BBN"
