"""OLTR: attention that starts as the identity, the memory, the meta-embedding and the pull of the centroids."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from training import assert_learns_and_keeps_the_tail, few_digits, recipe

from gclib.data.augment import normalise
from gclib.methods.stage import Batch, Stage
from gclib.methods.stages.oltr import ModulatedAttention
from gclib.networks import resnet32
from gclib.train.loop import Trainer
from gclib.train.making import make_stage

TARGETS = torch.arange(12) % 10


@pytest.fixture(scope="module")
def start() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return resnet32(10, "linear").state_dict()


def stage(start: dict[str, torch.Tensor], **overrides: float) -> Stage:
    resolved = recipe("oltr", **overrides)
    return make_stage(resolved.stages[1], resolved.head, few_digits(), 0, 1, start)


def images() -> torch.Tensor:
    pixels = torch.from_numpy(few_digits().test.images[:12])
    return normalise(pixels, few_digits().augmentation, torch.float64)


def test_attention_starts_as_the_identity_and_is_attention() -> None:
    layer = ModulatedAttention(6, 4).double()
    x = torch.randn(3, 6, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(layer(x), x)
    with torch.no_grad():
        for parameter in layer.out.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
        flat = x.flatten(2).numpy()
        conv = lambda c, v: c.weight[:, :, 0, 0].numpy() @ v + c.bias.numpy()[:, None]  # noqa: E731
        out = layer.out.weight[:, :, 0, 0].numpy()
        for i in range(3):
            q, k, v = (conv(c, flat[i]) for c in (layer.query, layer.key, layer.value))
            weights = np.exp(q.T @ k)
            weights /= weights.sum(1, keepdims=True)
            where = np.exp(layer.where.weight.numpy() @ flat[i].ravel() + layer.where.bias.numpy())
            expected = flat[i] + out @ (v @ weights.T) * where / where.sum()
            np.testing.assert_allclose(layer(x)[i].flatten(1).numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_centroids_start_as_class_means_of_what_is_not_held_out(
    start: dict[str, torch.Tensor], share: float
) -> None:
    one = stage(start, **{"stage-two.held_out": share}).eval()
    train = few_digits().train.of(one.seen.numpy())
    assert (len(train) < len(few_digits().train)) == bool(share)
    with torch.no_grad():
        pixels = normalise(torch.from_numpy(train.images), few_digits().augmentation, torch.float32)
        features = one.network.features(pixels).numpy()
    for label in range(10):
        mean = features[train.labels == label].mean(0)
        np.testing.assert_allclose(one.centroids[label].detach().numpy(), mean, rtol=1e-4, atol=1e-5)


def test_logits_and_loss_from_the_formulas(start: dict[str, torch.Tensor]) -> None:
    one = stage(start).double().eval()
    with torch.no_grad():
        one.attention.out.weight.normal_(generator=torch.Generator().manual_seed(1))
        f, c = one.embed(images()).numpy(), one.centroids.numpy()
        logits = np.zeros((12, 10))
        softmax = lambda v: np.exp(v) / np.exp(v).sum()  # noqa: E731
        for i in range(12):
            memory = softmax(start["head.weight"].numpy() @ f[i] + start["head.bias"].numpy()) @ c
            select = np.tanh(one.select.weight.numpy() @ f[i] + one.select.bias.numpy())
            v = 10 / min(np.linalg.norm(f[i] - k) for k in c) * (f[i] + select * memory)
            length = np.linalg.norm(v)
            for j, w in enumerate(one.anchors.numpy()):
                logits[i, j] = 16 * length / (1 + length) * (v @ w) / length / np.linalg.norm(w)
        np.testing.assert_allclose(one(images()).numpy(), logits, rtol=1e-9)
        squares = ((f[:, None] - c) ** 2).sum(2)
        own = np.eye(10, dtype=bool)[TARGETS.numpy()]
        pull = squares[own].sum() / (2 * 12)
        push = max(10 - squares[~own].sum() / squares.size, 0)
        plain = np.mean(
            [np.log(np.exp(z).sum()) - z[y] for z, y in zip(logits, TARGETS.numpy(), strict=True)]
        )
        loss = one.loss(Batch(images(), TARGETS, None, None, None)).item()
        assert loss == pytest.approx(plain + 0.01 * (pull + 0.01 * push), rel=1e-9)


def test_the_centroids_follow_their_own_loss_alone(start: dict[str, torch.Tensor]) -> None:
    one = stage(start).double()
    one.classify(one.embed(images())).logsumexp(1).sum().backward()
    assert one.centroids.grad is None
    one.loss(Batch(images(), TARGETS, None, None, None)).backward()
    assert one.centroids.grad.abs().sum() > 0


def test_all_of_it_moves_and_the_feature_slowly(start: dict[str, torch.Tensor]) -> None:
    one = stage(start)
    before = {name: value.clone() for name, value in one.state_dict().items()}
    trainer = Trainer(one, few_digits(), torch.device("cpu"), "float64", 0)
    trainer.train_epoch(0)
    for name, value in one.state_dict().items():
        assert not torch.equal(value, before[name].to(value.dtype)), name
    classifier, feature = trainer.optimizer.param_groups
    assert feature["lr"].item() == pytest.approx(0.01 * classifier["lr"].item())
    slow = [*one.network.embedding.parameters(), *one.attention.parameters()]
    assert {id(p) for p in feature["params"]} == {id(p) for p in slow}


def test_it_learns_and_keeps_the_tail(once: Callable) -> None:
    assert_learns_and_keeps_the_tail("oltr", once)
