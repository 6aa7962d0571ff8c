"""The network with two tails, and the two methods that use it: BBN and De-confound-TDE."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from training import assert_learns_and_keeps_the_tail, few_digits, recipe

from gclib.errors import UserError
from gclib.methods.stage import Batch, Stage
from gclib.networks import MultiHeadClassifier, resnet32
from gclib.train.loop import Trainer
from gclib.train.making import make_stage
from gclib.train.resident import Resident

CPU = torch.device("cpu")
IMAGES = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
OTHERS = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stage(name: str, **overrides: Any) -> Stage:
    resolved = recipe(name, epochs=10, **overrides)
    return make_stage(resolved.stages[0], resolved.head, few_digits(), 0, 0, None).double()


def test_two_tails_have_one_trunk() -> None:
    network = resnet32(10, "two-tail-linear").double().eval()
    plain = resnet32(10, "linear")
    block = sum(p.numel() for p in network.second_tail.parameters())
    assert sum(p.numel() for p in network.parameters()) == 464_154 + block + 64 * 10
    assert block == 2 * (64 * 64 * 9 + 2 * 64)
    first, second = network.tail(IMAGES, False), network.tail(IMAGES, True)
    assert torch.equal(network.features(IMAGES), torch.cat([first, second], dim=1))
    assert not torch.allclose(first, second)
    plain.load_state_dict(
        {k: v for k, v in network.state_dict().items() if k.startswith("embedding")}, strict=False
    )
    torch.testing.assert_close(plain.double().eval().features(IMAGES), first)
    with pytest.raises(UserError, match="unknown head 'cosin'; expected one of linear"):
        resnet32(10, "two-tail-cosin")


def test_on_a_frozen_embedding_both_tails_keep_their_statistics() -> None:
    one = stage("bbn", method="cRT", parameters={"reinitialise": False}).train()
    before = {name: value.clone() for name, value in one.network.named_buffers()}
    one.logits(IMAGES)
    assert all(torch.equal(value, before[name]) for name, value in one.network.named_buffers())


def test_bbn_loss_from_its_two_branches() -> None:
    one = stage("bbn").eval()
    own, other = torch.arange(12) % 10, (torch.arange(12) + 3) % 10
    for epoch, alpha in ((0, 1.0), (5, 0.75), (9, 0.19)):
        one.begin_epoch(epoch)
        batch = Batch(IMAGES, own, None, None, None, Batch(OTHERS, other, None, None, None))
        one.correct.zero_()
        with torch.no_grad():
            w, b = (p.numpy() for p in one.network.head.parameters())
            c, r = one.network.tail(IMAGES, False).numpy(), one.network.tail(OTHERS, True).numpy()
            z = 2 * (alpha * c @ w[:, :64].T + (1 - alpha) * r @ w[:, 64:].T) + b
            log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
            losses = [-log_p[np.arange(12), y.numpy()].mean() for y in (own, other)]
            expected = alpha * losses[0] + (1 - alpha) * losses[1]
            assert one.loss(batch).item() == pytest.approx(expected, rel=1e-6), epoch
        hits = [(z.argmax(1) == y.numpy()).sum() for y in (own, other)]
        assert one.correct.item() == pytest.approx(alpha * hits[0] + (1 - alpha) * hits[1], rel=1e-5)
    # In tests both tails see the image, at the weight of alpha = 1/2.
    features = one.network.features(IMAGES)
    torch.testing.assert_close(one(IMAGES), one.network.head(features))


def test_bbn_draws_a_second_stream_in_reverse() -> None:
    one = stage("bbn")
    draws = [one.draw(generator(seed)) for seed in range(40)]
    size = one.settings.batch_size
    assert len(draws[0].indices) == len(draws[0].other.indices) == len(few_digits().train) // size * size
    labels = torch.from_numpy(few_digits().train.labels)
    drawn = torch.bincount(torch.cat([labels[d.other.indices] for d in draws]), minlength=10).double()
    n = torch.from_numpy(few_digits().class_counts).double()
    expected = drawn.sum() * (1 / n) / (1 / n).sum()
    assert ((drawn - expected) ** 2 / expected).sum() < 27.9  # chi-square, 9 degrees of freedom, p = 0.001
    batch = Resident(few_digits().train, few_digits().augmentation, CPU, torch.float64).batch(
        draws[0], torch.arange(size), torch.tensor([0])
    )
    assert torch.equal(batch.targets, labels[draws[0].indices[:size]])
    assert torch.equal(batch.other.targets, labels[draws[0].other.indices[:size]])


def test_tde_leaves_the_rest_of_an_epoch_out_as_its_code_does() -> None:
    one = stage("tde")
    assert len(few_digits().train) % one.settings.batch_size
    assert len(one.draw(generator()).indices) % one.settings.batch_size == 0


def test_multi_head_logits_and_effect() -> None:
    head = MultiHeadClassifier(8, 3).double()
    x, mean = (
        torch.randn(5, 8, generator=generator()).double(),
        torch.randn(8, generator=generator(1)).double(),
    )
    w = head.weight.detach().numpy()
    logits, effect = np.zeros((5, 3)), np.zeros((5, 3))
    for part in (slice(0, 4), slice(4, 8)):
        d = mean.numpy()[part] / np.linalg.norm(mean.numpy()[part])
        for i in range(5):
            xi = x.numpy()[i, part] / np.linalg.norm(x.numpy()[i, part])
            for j in range(3):
                wj = w[j, part] / (np.linalg.norm(w[j, part]) + 1 / 32)
                logits[i, j] += 16 / 2 * wj @ xi
                effect[i, j] += 16 / 2 * (xi @ d) * (wj @ d)
    np.testing.assert_allclose(head(x).detach().numpy(), logits, rtol=1e-12)
    np.testing.assert_allclose(head.effect(x, mean).detach().numpy(), effect, rtol=1e-12)


def test_tde_keeps_the_mean_feature_and_subtracts_its_effect() -> None:
    one = stage("tde").eval()
    before = one.network.features(IMAGES).mean(0).detach()
    for _ in range(3):  # 0.9 * (0.9 * f + f) + f
        one.logits(IMAGES)
    torch.testing.assert_close(one.mean, (1 + 0.9 + 0.81) * before)
    head, features = one.network.head, one.network.features(IMAGES)
    torch.testing.assert_close(one(IMAGES), head(features) - head.effect(features, one.mean))
    none = stage("tde", **{"parameters.alpha": 0.0}).eval()
    assert torch.equal(none(IMAGES), none.network(IMAGES))
    assert "mean" in one.state_dict(), "a resumed run goes on with it"
    trainer = Trainer(stage("tde"), few_digits(), CPU, "float64", 0)
    trainer.train_epoch(0)
    assert trainer.stage.mean.norm() > 0


@pytest.mark.parametrize("name", ["bbn", "tde"])
def test_it_learns_and_keeps_the_tail(name: str, once: Callable) -> None:
    assert_learns_and_keeps_the_tail(name, once)


def test_the_head_of_bbn_starts_as_a_linear_layer_does() -> None:
    """The released code makes it after its initialisation, which is wider by far (Kaiming's: 0.125)."""
    weight = stage("bbn").network.head.weight
    bound = weight.shape[1] ** -0.5
    assert weight.abs().max() <= bound
    assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.1)
