"""The adversarial step against a naive version, what each update touches, and variants of the step."""

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from flexdan.strategies import Batch, DanOptions, NonFiniteLossError, Player, Players, dan_step, supervised_step


class Recorder:
    """Keeps a copy of a network's gradients at each of its updates, which the optimiser does as ever."""

    def __init__(self, player):
        self.gradients, self.network, self.original = [], player.bare, player.optimizer.step
        player.optimizer.step = self

    def __call__(self):
        self.gradients.append([weight.grad.clone() for weight in self.network.parameters()])
        self.original()


def naive_step(sn, en, sn_optimizer, en_optimizer, x, y, u, sigma, variant):
    """One iteration as the paper's figure 1 has it, with plain torch and a copy of the EN for the third update."""
    en_input, en_annotated, sn_update = variant
    gradients = {"sn": [], "en": []}

    def see(images, maps):
        return torch.cat([images, maps], 1) if en_input == "concatenate" else images * maps

    def bce(score, target):
        return -(target * score.log() + (1 - target) * (1 - score).log()).mean()

    def foreground(logits):
        return logits.exp()[:, 1:2] / logits.exp().sum(1, keepdim=True)

    sn_optimizer.zero_grad()
    logits = sn(x)
    segmentation = F.cross_entropy(logits, y)
    maps_x = y[:, None].float() if en_annotated == "ground_truth" else foreground(logits).detach()
    if sn_update == "separate":
        segmentation.backward()
        gradients["sn"].append([weight.grad.clone() for weight in sn.parameters()])
        sn_optimizer.step()
        sn_optimizer.zero_grad()
    maps_u = foreground(sn(u))

    en_optimizer.zero_grad()
    scores = torch.sigmoid(en(torch.cat([see(x, maps_x), see(u, maps_u.detach())])))
    known, unknown = bce(scores[: len(x)], 1.0), bce(scores[len(x) :], 0.0)
    (known + unknown).backward()
    gradients["en"].append([weight.grad.clone() for weight in en.parameters()])
    en_optimizer.step()

    judge = copy.deepcopy(en)
    scores = torch.sigmoid(judge(torch.cat([see(x, maps_x), see(u, maps_u)])))
    adversarial = bce(scores[len(x) :], 1.0)
    (sigma * adversarial + (segmentation if sn_update == "joint" else 0)).backward()
    gradients["sn"].append([weight.grad.clone() for weight in sn.parameters()])
    sn_optimizer.step()
    return (segmentation.item(), known.item(), unknown.item(), adversarial.item()), gradients


VARIANTS = list(itertools.product(("concatenate", "mask"), ("prediction", "ground_truth"), ("separate", "joint")))


@pytest.mark.parametrize("variant", VARIANTS, ids=" ".join)
def test_losses_gradients_and_weights_equal_the_naive_version(make, variant):
    """In fp32, over three iterations: losses to 1e-5, gradients and weights to 1e-4 relative, 1e-6 absolute."""
    en_input, en_annotated, sn_update = variant
    channels = 4 if en_input == "concatenate" else 3
    players, batches, means = make(channels)
    naive, _, _ = make(channels)
    recorders = Recorder(players.sn), Recorder(players.en)
    options = DanOptions(sigma=0.7, en_input=en_input, en_annotated=en_annotated, sn_update=sn_update)
    for _ in range(3):
        for recorder in recorders:
            recorder.gradients.clear()
        numbers = dan_step(players, batches, means, options)
        batch = batches[0]
        losses, gradients = naive_step(
            naive.sn.bare, naive.en.bare, naive.sn.optimizer, naive.en.optimizer,
            batch.images, batch.targets, batch.unannotated, 0.7, variant,
        )  # fmt: skip
        names = ("train_loss", "en_loss_annotated", "en_loss_unannotated", "adversarial_loss")
        assert [numbers[name] for name in names] == pytest.approx(losses, rel=1e-5)
        for recorder, expected in zip(recorders, gradients.values(), strict=True):
            torch.testing.assert_close(recorder.gradients, expected, rtol=1e-4, atol=1e-6)
    for ours, theirs in ((players.sn, naive.sn), (players.en, naive.en)):
        torch.testing.assert_close(ours.bare.state_dict(), theirs.bare.state_dict(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("criterion", ["least_squares", "hinge"])
def test_both_players_learn_by_the_same_criterion(make, criterion):
    """EN and SN against naive losses; scores of the EN above 1/2 and 0 are taken for annotated."""
    players, batches, means = make()
    naive, (batch,), _ = make()
    recorders = Recorder(players.sn), Recorder(players.en)
    numbers = dan_step(players, batches, means, DanOptions(sigma=0.5, sn_update="joint", en_criterion=criterion))
    squares = criterion == "least_squares"
    logits = naive.sn.bare(batch.images)
    F.cross_entropy(logits, batch.targets).backward()
    maps = torch.cat([logits.detach(), naive.sn.bare(batch.unannotated)]).softmax(1)[:, 1:]
    images = torch.cat([batch.images, batch.unannotated])
    scores = naive.en.bare(torch.cat([images, maps.detach()], 1))
    known, unknown = scores[:3], scores[3:]
    losses = (
        ((known - 1).square().mean() / 2, unknown.square().mean() / 2)
        if squares
        else (F.relu(1 - known).mean(), F.relu(1 + unknown).mean())
    )
    sum(losses).backward()
    limit = 0.5 if squares else 0.0
    assert numbers["en_loss_annotated"] == pytest.approx(losses[0].item(), rel=1e-5)
    assert numbers["en_loss_unannotated"] == pytest.approx(losses[1].item(), rel=1e-5)
    assert numbers["en_accuracy_annotated"] == pytest.approx((known > limit).float().mean().item())
    gradients = [weight.grad for weight in naive.en.bare.parameters()]
    torch.testing.assert_close(recorders[1].gradients[0], gradients, rtol=1e-4, atol=1e-6)
    naive.en.optimizer.step()
    scores = copy.deepcopy(naive.en.bare)(torch.cat([images, maps], 1))[3:]
    fool = (scores - 1).square().mean() / 2 if squares else -scores.mean()
    (0.5 * fool).backward()
    assert numbers["adversarial_loss"] == pytest.approx(fool.item(), rel=1e-4)
    gradients = [weight.grad for weight in naive.sn.bare.parameters()]
    torch.testing.assert_close(recorders[0].gradients[0], gradients, rtol=1e-4, atol=1e-6)


def test_norms_and_judgement_are_those_of_the_naive_version(make):
    players, batches, means = make()
    naive, (batch,), _ = make()
    numbers = dan_step(players, batches, means, DanOptions(sigma=0.5))
    logits = naive.sn.bare(batch.images)
    F.cross_entropy(logits, batch.targets).backward()
    norm = torch.cat([weight.grad.flatten() for weight in naive.sn.bare.parameters()]).norm()
    assert numbers["sn_grad_norm_segmentation"] == pytest.approx(norm.item(), rel=1e-5)
    naive.sn.optimizer.step()
    maps = torch.cat([logits, naive.sn.bare(batch.unannotated)]).softmax(1)[:, 1:].detach()
    logits = naive.en.bare(torch.cat([torch.cat([batch.images, batch.unannotated]), maps], 1))
    assert numbers["en_accuracy_annotated"] == pytest.approx((logits[:3] > 0).float().mean().item())
    assert numbers["en_accuracy_unannotated"] == pytest.approx((logits[3:] < 0).float().mean().item())
    assert numbers["en_score_spread"] == pytest.approx(logits.sigmoid().std(correction=0).item(), rel=1e-5)
    assert numbers["sigma"] == 0.5
    assert numbers["sn_updates"] == 2


def state(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("sn_update", ["separate", "joint"])
def test_no_update_touches_the_other_network(make, sn_update):
    """Weights, batch-norm statistics and gradients, looked at around every update of either optimiser."""
    players, batches, means = make()
    seen = []
    for name, player, other in (("sn", players.sn, players.en), ("en", players.en, players.sn)):
        original = player.optimizer.step

        def step(name=name, other=other, original=original):
            before = state(other.bare), [weight.grad for weight in other.bare.parameters()]
            seen.append((name, state(players.sn.bare), state(players.en.bare), before[1]))
            original()
            assert same(before[0], state(other.bare))

        player.optimizer.step = step
    start_en = state(players.en.bare)
    dan_step(players, batches, means, DanOptions(sigma=1.0, sn_update=sn_update))
    assert [name for name, *_ in seen] == (["sn", "en", "sn"] if sn_update == "separate" else ["en", "sn"])
    for name, _, _, gradients_of_the_other in seen:
        assert all(gradient is None for gradient in gradients_of_the_other), name
    updates_of_en = [number for number, (name, *_) in enumerate(seen) if name == "en"]
    after_en = state(players.en.bare)
    assert same(seen[-1][2], after_en)  # the EN as the last update of the SN found it: weights and statistics
    if sn_update == "separate":
        assert same(seen[0][2], start_en)
    sn_at_en = seen[updates_of_en[0]][1]
    sn_at_last = seen[-1][1]
    assert same(sn_at_en, sn_at_last)  # the third update has not called the SN again, nor touched its statistics
    norm = players.en.bare[1]
    assert norm.num_batches_tracked == 1  # one pass for the EN's own update, none for the SN's
    assert all(weight.grad is None for player in (players.sn, players.en) for weight in player.bare.parameters())


@pytest.mark.parametrize("sn_update", ["separate", "joint"])
def test_without_sigma_the_sn_moves_as_in_supervised_training(make, sn_update):
    """Also in the third update, in which Adam would else go on by its momentum."""
    players, batches, means = make()
    alone, _, _ = make()
    for _ in range(3):
        numbers = dan_step(players, batches, means, DanOptions(sigma=0.0, sn_update=sn_update))
        supervised_step(alone, batches, means)
        assert numbers["sn_updates"] == 1
        assert numbers["sn_grad_norm_adversarial"] == 0
    for ours, theirs in zip(players.sn.bare.parameters(), alone.sn.bare.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("sn_update", ["separate", "joint"])
def test_several_batches_equal_one_large_batch_without_batch_norm(make, sn_update):
    players, batches, means = make(batches=2, norm=False)
    whole, _, _ = make(batches=2, norm=False)
    options = DanOptions(sigma=0.5, sn_update=sn_update)
    merged = type(batches[0])(
        **{
            name: torch.cat([getattr(batch, name) for batch in batches])
            for name in ("images", "targets", "unannotated")
        }
    )
    several, one = dan_step(players, batches, means, options), dan_step(whole, [merged], means, options)
    for name in one:
        if name != "en_score_spread":  # over each batch
            assert several[name] == pytest.approx(one[name], rel=1e-4), name
    for ours, theirs in ((players.sn, whole.sn), (players.en, whole.en)):
        torch.testing.assert_close(ours.bare.state_dict(), theirs.bare.state_dict(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("frozen", ["sn", "en"])
def test_a_frozen_network_does_not_change_at_all_and_the_other_learns(make, frozen):
    players, batches, means = make(batches=2)
    before = {"sn": state(players.sn.bare), "en": state(players.en.bare)}
    numbers = dan_step(players, batches[:1], means, DanOptions(sigma=1.0, freeze=frozen))
    after = {"sn": state(players.sn.bare), "en": state(players.en.bare)}
    other = {"sn": "en", "en": "sn"}[frozen]
    assert same(before[frozen], after[frozen])
    assert not same(before[other], after[other])
    assert numbers["sn_updates"] == (0 if frozen == "sn" else 2)
    assert ("en_grad_norm" in numbers) == (frozen == "sn")
    dan_step(players, batches, means, DanOptions(sigma=1.0, freeze=frozen))
    assert same(before[frozen], state({"sn": players.sn, "en": players.en}[frozen].bare))


def test_sigma_in_the_en_loss_scales_its_gradient_and_not_what_is_reported(make):
    plain, batches, means = make()
    scaled, _, _ = make()
    recorders = Recorder(plain.en), Recorder(scaled.en)
    first = dan_step(plain, batches, means, DanOptions(sigma=0.25))
    second = dan_step(scaled, batches, means, DanOptions(sigma=0.25, sigma_in_en_loss=True))
    assert first["en_loss_annotated"] == pytest.approx(second["en_loss_annotated"])
    for one, other in zip(recorders[0].gradients[0], recorders[1].gradients[0], strict=True):
        torch.testing.assert_close(0.25 * one, other)


def test_label_smoothing_moves_the_targets_of_the_en_and_not_what_is_reported(make):
    plain, batches, means = make()
    smoothed, _, _ = make()
    naive, (batch,), _ = make()
    recorder = Recorder(smoothed.en)
    first = dan_step(plain, batches, means, DanOptions(sigma=0.5))
    second = dan_step(smoothed, batches, means, DanOptions(sigma=0.5, label_smoothing=0.1))
    names = ("en_loss_annotated", "en_loss_unannotated")
    assert [first[name] for name in names] == pytest.approx([second[name] for name in names])
    logits = naive.sn.bare(batch.images)
    F.cross_entropy(logits, batch.targets).backward()
    naive.sn.optimizer.step()
    maps = torch.cat([logits, naive.sn.bare(batch.unannotated)]).softmax(1)[:, 1:].detach()
    scores = naive.en.bare(torch.cat([torch.cat([batch.images, batch.unannotated]), maps], 1)).sigmoid()
    loss = -(0.9 * scores[:3].log() + 0.1 * (1 - scores[:3]).log()).mean()
    loss -= (0.1 * scores[3:].log() + 0.9 * (1 - scores[3:]).log()).mean()
    loss.backward()
    expected = [weight.grad for weight in naive.en.bare.parameters()]
    torch.testing.assert_close(recorder.gradients[0], expected, rtol=1e-4, atol=1e-6)


def test_en_steps_are_updates_of_the_en(make):
    players, batches, means = make()
    recorders = Recorder(players.sn), Recorder(players.en)
    dan_step(players, batches, means, DanOptions(sigma=0.5, en_steps=3))
    assert [len(recorder.gradients) for recorder in recorders] == [2, 3]


@pytest.mark.parametrize("en_input", ["concatenate", "mask"])
def test_more_than_two_classes(make, en_input):
    players, batches, means = make({"concatenate": 3 + 3, "mask": 3 * 3}[en_input], classes=4)
    numbers = dan_step(players, batches, means, DanOptions(sigma=0.5, en_input=en_input, en_annotated="ground_truth"))
    assert numbers["sn_grad_norm_adversarial"] > 0


@pytest.mark.parametrize(("poisoned", "loss"), [("images", "training"), ("unannotated", "EN's")])
def test_a_loss_that_is_not_finite_stops_before_its_update(make, poisoned, loss):
    players, batches, means = make()
    getattr(batches[0], poisoned)[0, 0, 0, 0] = float("nan")
    before = state(players.en.bare)
    with pytest.raises(NonFiniteLossError, match=f"the {loss} loss is nan"):
        dan_step(players, batches, means, DanOptions(sigma=0.5))
    weights = {name for name, _ in players.en.bare.named_parameters()}
    assert same({name: before[name] for name in weights}, state(players.en.bare))


class MapsOnly(nn.Module):
    """Hides the image from an EN, which could else tell shifted images apart whatever the SN does."""

    def forward(self, inputs):
        """Return the last channel."""
        return inputs[:, -1:]


def test_the_en_sees_a_shift_while_the_sn_is_frozen_and_cannot_when_the_sn_trains_against_it(make):
    """The answer is known: discs of another contrast and brightness give other maps, until the SN closes the gap."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)

    def draw(count, contrast, offset):
        rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
        centre = 5 + 6 * torch.rand(count, 2, 1, 1, generator=generator)
        radius = 2.5 + 2 * torch.rand(count, 1, 1, generator=generator)
        discs = (rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2 < radius**2
        noise = 0.15 * torch.randn(count, 16, 16, generator=generator)
        return (offset + contrast * discs + noise)[:, None], discs.long()

    def batch():
        images, targets = draw(8, 1.0, 0.0)
        return Batch(images=images, targets=targets, unannotated=draw(8, 0.5, 0.4)[0])

    _, _, means = make()
    sn = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    )
    en = nn.Sequential(
        *(MapsOnly(), nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(256, 1)),
    )
    players = Players(
        sn=Player(network=sn, bare=sn, optimizer=torch.optim.Adam(sn.parameters(), lr=0.01, betas=(0.5, 0.99))),
        en=Player(network=en, bare=en, optimizer=torch.optim.Adam(en.parameters(), lr=0.005, betas=(0.5, 0.99))),
    )

    def accuracy(steps, freeze):
        found = [dan_step(players, [batch()], means, DanOptions(sigma=0.5, freeze=freeze)) for _ in range(steps)]
        last = found[-50:]
        return sum(row["en_accuracy_annotated"] + row["en_accuracy_unannotated"] for row in last) / 2 / len(last)

    for _ in range(100):
        supervised_step(players, [batch()], means)
    assert accuracy(120, "sn") > 0.95
    assert accuracy(250, "none") < 0.65
