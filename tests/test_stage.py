"""Stages: all that is random in an epoch, mixup's loss, and what cRT, LWS and tau-normalisation may change."""

from typing import Any

import numpy as np
import pytest
import torch
from training import few_digits, recipe

from gclib import data, recipes
from gclib.errors import UserError
from gclib.losses import GCLLoss
from gclib.methods.settings import LossSettings, SamplerSettings, StageSettings
from gclib.methods.stage import Stage
from gclib.networks import resnet32
from gclib.train.loop import Trainer
from gclib.train.making import make_stage
from gclib.train.resident import Resident

CPU = torch.device("cpu")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stage(head: str = "cosine", **settings: Any) -> Stage:
    values = {"name": "stage", "method": "train", "epochs": 2, "batch_size": 32, "learning_rate": 0.05}
    return make_stage(StageSettings(**{**values, **settings}), head, few_digits(), 0, 0, None).double()


GCL = LossSettings(name="gcl", parameters={"scale": 30.0, "noise_scale": 0.5})


def test_draws_come_from_the_generator_alone() -> None:
    mixed = stage(loss=GCL, mixup=1.0, sampler=SamplerSettings(strategy="class"))
    torch.manual_seed(5)
    first = mixed.draw(generator())
    torch.manual_seed(6)
    again, other = mixed.draw(generator()), mixed.draw(generator(1))
    for name, value in vars(first).items():
        if name in ("other", "greys", "boxes", "colours", "seeds"):
            continue  # one stream, padded crops, colours as they are, few classes
        assert torch.equal(value, getattr(again, name)), name
        assert not torch.equal(value, getattr(other, name)) or name == "flips", name
    count = len(few_digits().train)
    assert first.indices.shape == first.partners.shape == (count,)
    assert first.offsets.shape == (count, 2)
    assert first.noise.shape == (count, 2, 10)
    assert first.noise.dtype == torch.float32
    assert first.weights.shape == (-(-count // 32),)


def test_draws_have_one_order() -> None:
    """What a recipe does not draw does not move what comes before it: recipes are compared on the same draws."""
    plain = stage(head="linear").draw(generator())
    clouded = stage(loss=GCL).draw(generator())
    mixed = stage(loss=GCL, mixup=1.0).draw(generator())
    for other in (clouded, mixed):
        for name in ("indices", "offsets", "flips"):
            assert torch.equal(getattr(plain, name), getattr(other, name)), name
    assert plain.noise is plain.partners is plain.weights is None
    assert clouded.noise.shape[1] == 1


def test_epochs_differ_and_go_on_from_the_generator() -> None:
    one, source = stage(loss=GCL), generator()
    first, second = one.draw(source), one.draw(source)
    assert not torch.equal(first.indices, second.indices)
    assert not torch.equal(first.noise, second.noise)


def test_each_image_has_its_own_crop_and_flip() -> None:
    train = data.load("digits", 20)
    one = make_stage(StageSettings(name="s", method="train", epochs=1), "linear", train, 0, 0, None)
    offsets = torch.cat([one.draw(generator(seed)).offsets for seed in range(20)])
    cells = torch.bincount(3 * offsets[:, 0] + offsets[:, 1], minlength=9).double()
    expected = len(offsets) / 9
    assert ((cells - expected) ** 2 / expected).sum() < 26.1  # chi-square, 8 degrees of freedom, p = 0.001
    assert not one.draw(generator()).flips.any()  # a mirrored digit is no digit
    one.augmentation = data.CIFAR
    flips = torch.cat([one.draw(generator(seed)).flips for seed in range(20)])
    assert flips.double().mean().item() == pytest.approx(0.5, abs=4 * 0.5 / len(flips) ** 0.5)
    assert one.draw(generator()).offsets.max() == 8


def test_partners_are_permutations_of_each_batch() -> None:
    draws = stage(mixup=1.0, head="linear").draw(generator())
    for start in range(0, len(draws.partners), 32):
        partners = draws.partners[start : start + 32]
        assert torch.equal(partners.sort().values, torch.arange(len(partners)))
        assert not torch.equal(partners, torch.arange(len(partners)))


def test_noise_of_the_two_targets_is_independent() -> None:
    draws = torch.cat([stage(loss=GCL, mixup=1.0).draw(generator(s)).noise for s in range(5)])
    own, partner = draws[:, 0].flatten().double(), draws[:, 1].flatten().double()
    assert own.std().item() == pytest.approx(1 / 3, rel=0.03)
    assert abs(np.corrcoef(own, partner)[0, 1]) < 4 / len(own) ** 0.5
    # No two classes or images share a draw either.
    assert len(draws.unique()) > 0.999 * draws.numel()


@pytest.mark.parametrize("alpha", [1.0, 0.2])
def test_lambda_is_beta_distributed(alpha: float) -> None:
    from scipy.stats import beta, kstest

    one = stage(mixup=alpha, head="linear", batch_size=1)
    weights = np.concatenate([one.draw(generator(seed)).weights.numpy() for seed in range(20)])
    assert len(weights) > 2000
    assert kstest(weights, beta(alpha, alpha).cdf).pvalue > 1e-3
    assert kstest(weights, beta(1.5 * alpha, 1.5 * alpha).cdf).pvalue < 1e-3  # it could tell


@pytest.mark.parametrize("loss", ["gcl", "cross-entropy"])
def test_mixup_loss_is_the_weighted_sum(loss: str) -> None:
    settings = GCL if loss == "gcl" else LossSettings(name=loss)
    one = stage("cosine" if loss == "gcl" else "linear", loss=settings, mixup=1.0)
    source = few_digits()
    draws = one.draw(generator())
    batch = Resident(source.train, source.augmentation, CPU, torch.float64).batch(
        draws, torch.arange(32, 64), torch.tensor([1])
    )
    own = torch.from_numpy(source.train.labels)[draws.indices[32:64]]
    partner, weight = own[draws.partners[32:64]], draws.weights[1]
    one.eval()
    with torch.no_grad():
        z = one.network(batch.images)
        if loss == "gcl":
            reach = 0.5 * (np.log(source.class_counts.max()) - np.log(source.class_counts))
            reach = torch.from_numpy(reach / np.log(source.class_counts.max() / source.class_counts.min()))
            views = [30 * (z - n.double().abs().clamp(max=1) * reach) for n in draws.noise[32:64].unbind(1)]
        else:
            views = [z, z]
        terms = [
            -(v.log_softmax(1)[torch.arange(32), y]).mean()
            for v, y in zip(views, (own, partner), strict=True)
        ]
        expected = weight * terms[0] + (1 - weight) * terms[1]
        one.correct.zero_()
        torch.testing.assert_close(one.loss(batch), expected, rtol=1e-12, atol=0)
    hits = [(z.argmax(1) == y).sum() for y in (own, partner)]
    assert one.correct.item() == pytest.approx((weight * hits[0] + (1 - weight) * hits[1]).item())


def trained(method: str, head: str = "cosine", **settings: Any) -> tuple[dict, Stage]:
    """Return the weights that a stage starts from, with statistics that are not torch's start, and the stage after."""
    settings = {"sampler": SamplerSettings(strategy="class"), **settings}
    if head == "cosine" and settings.get("epochs", 1):
        settings["loss"] = GCL
    first = make_stage(recipe().stages[0], head, few_digits(), 0, 0, None)
    Trainer(first, few_digits(), CPU, "float64", 0).train_epoch(0)
    start = {name: value.float() for name, value in first.network.state_dict().items()}
    values = {"name": "stage-two", "method": method, "epochs": 2, "batch_size": 32, "learning_rate": 0.1}
    second = make_stage(StageSettings(**{**values, **settings}), head, few_digits(), 0, 1, start)
    if second.settings.epochs:
        trainer = Trainer(second, few_digits(), CPU, "float64", 0)
        trainer.train_epoch(0)
        trainer.evaluate(1)
        trainer.train_epoch(1)
    return start, second


@pytest.mark.parametrize("head", ["cosine", "linear"])
def test_crt_trains_the_classifier_alone(head: str) -> None:
    start, second = trained("cRT", head)
    for name, value in second.network.state_dict().items():
        moved = not torch.equal(value, start[name].to(value.dtype))
        assert moved == name.startswith("head."), name


def test_lws_trains_the_factors_alone() -> None:
    start, second = trained("LWS")
    for name, value in second.network.state_dict().items():
        assert torch.equal(value, start[name].to(value.dtype)), name
    assert (second.scales != 1).all()
    assert "scales" in second.state_dict()


@pytest.mark.parametrize("head", ["cosine", "linear"])
def test_lws_starts_at_the_unscaled_logits(head: str) -> None:
    network = resnet32(10, head)
    lws = Stage.make(StageSettings(name="two", method="LWS", epochs=1), network, few_digits()).eval()
    images = torch.randn(8, 3, 8, 8, generator=generator())
    assert torch.equal(lws.logits(images), network(images))
    with torch.no_grad():
        lws.scales.copy_(torch.arange(10.0))
    torch.testing.assert_close(lws.logits(images), network(images) * torch.arange(10.0))


def test_crt_draws_another_classifier_where_asked() -> None:
    with torch.random.fork_rng(devices=[]):
        start = resnet32(10, "cosine").state_dict()

    def head(reinitialise: bool, seed: int = 0) -> torch.Tensor:
        settings = StageSettings(
            name="two", method="cRT", epochs=1, parameters={"reinitialise": reinitialise}
        )
        return make_stage(settings, "cosine", few_digits(), seed, 1, start).network.head.weight

    assert torch.equal(head(False), start["head.weight"])
    assert torch.equal(head(True), head(True))
    drawn = [start["head.weight"], head(True), head(True, 1)]
    for i in range(3):
        for j in range(i):
            assert (drawn[i] != drawn[j]).all()


@pytest.mark.parametrize(
    ("name", "path", "value", "message"),
    [
        (
            "gcl-official-tau",
            "stage-two.parameters.tau",
            "much",
            "'tau' .* is 'much'; expected something like 1.0",
        ),
        ("gcl-official", "stage-two.parameters.reinitialise", 1, "is 1.0; expected something like False"),
        ("mislas", "stage-two.parameters.factor", True, "is True; expected something like 1.0"),
        ("gcl-official-tau", "stage-two.epochs", 3, "trains nothing, but was given 3 epochs; expected 0"),
        ("gcl-official", "stage-two.name", "third", "'stage-two.name': no such setting"),
        ("gcl-official", "name", "first", "'name': no such setting"),
    ],
)
def test_what_a_method_cannot_take_is_refused(name: str, path: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        recipes.get(name).resolve(few_digits(), "smoke", **{path: value})
    assert "\n" not in str(caught.value)


HEADS = ("linear", "cosine", "two-tail-linear", "two-tail-multi-head")


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("method", [name for name, cls in Stage.methods.items() if cls.trains])
def test_a_method_trains_with_a_classifier_or_refuses_it(method: str, head: str) -> None:
    again = {"reinitialise": True} if method == "cRT" else {}
    settings = StageSettings(name="one", method=method, epochs=1, batch_size=32, parameters=again)
    fit = {"BBN": HEADS[2:], "de-confound": HEADS[3:], "OLTR": HEADS[:2]}
    if head not in fit.get(method, HEADS):
        with pytest.raises(UserError, match=f"was given a {head} classifier; expected "):
            Stage.check(settings, few_digits(), head)
        return
    Stage.check(settings, few_digits(), head)
    trainer = Trainer(make_stage(settings, head, few_digits(), 0, 0, None), few_digits(), CPU, "float64", 0)
    trainer.train_epoch(0)
    assert 0 <= trainer.evaluate(1) <= 100


def test_a_contrast_that_is_none_is_refused_before_training() -> None:
    with pytest.raises(UserError, match=r"unknown contrast 'supervized'.*did you mean 'supervised'"):
        recipe("hybrid-sc", **{"parameters.contrast": "supervized"})


def test_another_method_takes_its_own_defaults() -> None:
    changed = recipe(**{"stage-two.method": "tau-normalisation", "stage-two.epochs": 0})
    two = make_stage(changed.stages[1], changed.head, few_digits(), 0, 1, None)
    assert two.setting("tau") == 1.0
    assert not list(two.parameter_groups())
    assert changed.stages[1].parameters == {}, "that cRT starts anew is no setting of tau-normalisation"
    half = recipe(
        **{
            "stage-two.parameters.tau": 0.5,
            "stage-two.method": "tau-normalisation",
            "stage-two.epochs": 0,
        }
    )
    assert half.stages[1].parameters == {"tau": 0.5}, "in any order"


def tau(network: torch.nn.Module, value: float) -> Stage:
    settings = StageSettings(name="two", method="tau-normalisation", epochs=0, parameters={"tau": value})
    return Stage.make(settings, network, few_digits()).eval()


def test_tau_normalisation() -> None:
    network = resnet32(10, "linear").double().eval()
    with torch.no_grad():
        network.head.bias.zero_()
        network.head.weight.mul_(torch.linspace(0.5, 3, 10)[:, None])
    images = torch.randn(32, 3, 8, 8, generator=generator(), dtype=torch.float64)
    assert torch.equal(tau(network, 0.0)(images), network(images))
    features, weight = network.features(images).detach(), network.head.weight.detach()
    for value in (0.5, 1.0):
        expected = features @ (weight / weight.norm(dim=1, keepdim=True) ** value).T
        torch.testing.assert_close(tau(network, value)(images), expected)
    with torch.no_grad():
        network.head.bias.copy_(torch.arange(10.0))  # dropped, whatever it is
    torch.testing.assert_close(tau(network, 1.0)(images), expected)


def test_test_time_logits_are_scaled_cosines() -> None:
    one = stage(loss=GCL).eval()
    images = torch.randn(8, 3, 8, 8, generator=generator(), dtype=torch.float64)
    assert torch.equal(one(images), 30 * one.network(images))
    assert isinstance(one.criterion, GCLLoss)


def test_resident_batches_are_the_images() -> None:
    source = few_digits()
    resident = Resident(source.test, source.augmentation, CPU, torch.float64)
    mean, std = (np.array(value) for value in (source.augmentation.mean, source.augmentation.std))
    expected = (source.test.images[10:20] / 255 - mean) / std
    np.testing.assert_allclose(
        next(resident.plain(torch.arange(10, 20))).permute(0, 2, 3, 1).numpy(), expected, atol=1e-14
    )
