"""What the SN learns from unannotated images, on constructed cases with numbers by hand."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from flexdan.config import IGNORE
from flexdan.losses import cross_entropy
from flexdan.strategies import (
    Batch,
    DanOptions,
    EnConfidence,
    FixMatch,
    Lesson,
    Means,
    MeanTeacher,
    NonFiniteLossError,
    Player,
    Players,
    SelfTraining,
    UniMatch,
    Weighted,
    batch_norm_only_step,
    cross_pseudo_supervision_step,
    cutmix_masks,
    dan_step,
    drop_channels,
    entropy_minimisation,
    mix,
    supervised_step,
)
from flexdan.strategies.lesson import confident_labels


class Known(nn.Module):
    """Maps an image of foreground probabilities (N, 1, H, W) to logits with these probabilities, plus a weight."""

    def __init__(self, shift: float = 0.0):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(self, images):
        return torch.cat([torch.zeros_like(images), torch.logit(images) + self.shift], dim=1)


def players_of(student: nn.Module, teacher: nn.Module | None = None) -> Players:
    optimizer = torch.optim.SGD(student.parameters(), lr=1.0)
    return Players(sn=Player(network=student, bare=student, optimizer=optimizer), average=teacher)


def image(*foreground: float) -> torch.Tensor:
    return torch.tensor(foreground)[None, None, None]  # (1, 1, 1, W)


MEANS = Means(criterion=cross_entropy)
ANNOTATED = {"images": image(0.5, 0.5), "targets": torch.tensor([[[0, 1]]])}  # its gradients cancel


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_a_student_is_drawn_towards_the_probabilities_of_its_teacher_on_the_weak_view():
    """Loss (p - q)^2 with p of the strong view, q of the weak one; its derivative is 2 (p - q) p (1 - p)."""
    players = players_of(Known(), Known(shift=logit(0.6)))
    batch = Batch(**ANNOTATED, unannotated=image(0.5, 0.5), strong=(image(0.8, 0.3),))
    numbers = supervised_step(players, [batch], MEANS, Weighted(term=MeanTeacher(), weight=3.0))
    assert numbers["unannotated_loss"] == pytest.approx((0.2**2 + 0.3**2) / 2)
    assert numbers["unannotated_weight"] == 3
    assert numbers["train_loss"] == pytest.approx(math.log(2))
    gradient = 3 * (2 * 0.2 * 0.8 * 0.2 - 2 * 0.3 * 0.3 * 0.7) / 2
    assert players.sn.bare.shift.item() == pytest.approx(-gradient)
    assert players.average.shift.item() == pytest.approx(logit(0.6))  # who teaches does not learn


def test_pixels_that_the_teacher_is_uncertain_about_do_not_count():
    """Entropies of 0.5 and 0.9 are 0.69 and 0.33; the limit is 0.75 ln 2 = 0.52."""
    players = players_of(Known(), Known())
    batch = Batch(**ANNOTATED, unannotated=image(0.5, 0.9), strong=(image(0.8, 0.3),))
    term = MeanTeacher(passes=2, noise=0.0, certainty=0.75)
    numbers = supervised_step(players, [batch], MEANS, Weighted(term=term, weight=1.0))
    assert numbers["certain_share"] == 0.5
    assert numbers["unannotated_loss"] == pytest.approx(0.6**2)


def test_uncertainty_is_that_of_the_mean_over_noisy_passes():
    """A teacher that is sure in each pass, but of what the noise says, is uncertain."""

    class Sign(nn.Module):
        def forward(self, images):
            sure = 20 * images.sign()
            return torch.cat([-sure, sure], dim=1)

    batch = Batch(**ANNOTATED, unannotated=torch.tensor([[[[0.0, 5.0]]]]), strong=(image(0.5, 0.5),))
    term = MeanTeacher(passes=8, noise=1.0, certainty=0.75)
    numbers = supervised_step(players_of(Known(), Sign()), [batch], MEANS, Weighted(term=term, weight=1.0))
    assert numbers["certain_share"] == 0.5


@pytest.mark.parametrize("labels_from", ["average", "student"])
def test_confident_labels_of_the_weak_view_are_learnt_on_the_strong_one(labels_from):
    """Of 0.97, 0.9 and 0.02, all but 0.9 are at least 0.95 sure; labels are 1 and 0; the mean is over all pixels."""
    annotated = {"images": image(0.5, 0.5, 0.5), "targets": torch.tensor([[[0, 1, 1]]])}
    teacher = Known() if labels_from == "average" else None
    players = players_of(Known(), teacher)
    batch = Batch(**annotated, unannotated=image(0.97, 0.9, 0.02), strong=(image(0.6, 0.5, 0.3),))
    term = FixMatch(labels_from=labels_from, confidence=0.95)
    numbers = supervised_step(players, [batch], MEANS, Weighted(term=term, weight=2.0))
    assert numbers["confident_share"] == pytest.approx(2 / 3)
    assert numbers["unannotated_loss"] == pytest.approx(-(math.log(0.6) + math.log(0.7)) / 3)
    gradient = (0.5 + 0.5 * -2) / 3 + 2 * ((0.6 - 1) + 0.3) / 3  # p - y of each pixel
    assert players.sn.bare.shift.item() == pytest.approx(-gradient)


def test_rectangles_bring_their_labels_along():
    """With labels from the image itself the loss is that of the pixels, wherever they went."""
    torch.manual_seed(0)
    weak = 0.02 + 0.96 * torch.rand(4, 1, 8, 8)
    annotated = {"images": torch.full((1, 1, 8, 8), 0.5), "targets": torch.zeros(1, 8, 8, dtype=torch.long)}
    batch = Batch(**annotated, unannotated=weak, strong=(weak,), seed=3)
    for term in (MeanTeacher(cutmix=1.0), FixMatch(cutmix=1.0, confidence=0.0)):
        lesson = term(players_of(Known(), Known()), batch, MEANS, torch.Generator().manual_seed(3))
        assert not torch.equal(lesson.images, weak)
        assert set(lesson.images.flatten().tolist()) <= set(weak.flatten().tolist())
        loss, _ = lesson.loss(Known()(lesson.images))
        sure = torch.maximum(lesson.images, 1 - lesson.images)
        assert loss.item() == pytest.approx(0 if isinstance(term, MeanTeacher) else -sure.log().mean().item(), abs=1e-6)


def test_entropy_falls():
    players = players_of(Known())
    batch = Batch(**ANNOTATED, unannotated=image(0.8, 0.9))
    numbers = supervised_step(players, [batch], MEANS, Weighted(term=entropy_minimisation, weight=1.0))
    entropies = [-(p * math.log(p) + (1 - p) * math.log(1 - p)) / math.log(2) for p in (0.8, 0.9)]
    assert numbers["unannotated_loss"] == pytest.approx(sum(entropies) / 2)
    slope = [-logit(p) * p * (1 - p) / math.log(2) for p in (0.8, 0.9)]  # dH/dp = -logit(p), dp/dz = p (1 - p)
    assert players.sn.bare.shift.item() == pytest.approx(-sum(slope) / 2)


def test_each_of_two_networks_learns_the_labels_of_the_other():
    """Labels are 1 of the first network and 0 of the second; gradients are p - y, and 0 of the masks."""
    one, other = Known(shift=logit(0.6)), Known(shift=logit(0.2))
    annotated = {"images": image(0.5, 0.5), "targets": torch.tensor([[[255, 255]]])}
    players = Players(
        sn=Player(network=one, bare=one, optimizer=torch.optim.SGD(one.parameters(), lr=1.0)),
        second=Player(network=other, bare=other, optimizer=torch.optim.SGD(other.parameters(), lr=1.0)),
    )
    batch = Batch(**annotated, unannotated=image(0.5, 0.5))
    numbers = cross_pseudo_supervision_step(players, [batch], MEANS, weight=1.5, cutmix=0.0)
    assert numbers["unannotated_loss"] == pytest.approx(-math.log(0.4))
    assert (numbers["train_loss"], numbers["second_loss"], numbers["agreement"]) == (0, 0, 0)
    assert one.shift.item() == pytest.approx(logit(0.6) - 1.5 * 0.6)
    assert other.shift.item() == pytest.approx(logit(0.2) - 1.5 * (0.2 - 1))


def test_the_two_networks_learn_from_mixed_labels_in_a_pass_beside_that_of_the_masks(make):
    """Each as in a supervised step whose lesson are the labels that the other one, before any update, gives."""
    players, batches, means = taught(make, batches=2)
    twin = copy.deepcopy(players.sn.bare)
    torch.manual_seed(5)
    for weight in twin.parameters():
        nn.init.normal_(weight, std=0.5)
    second = Player(network=twin, bare=twin, optimizer=torch.optim.Adam(twin.parameters(), lr=0.01))
    networks = [copy.deepcopy(players.sn.bare), copy.deepcopy(twin)]
    optimizers = [torch.optim.Adam(network.parameters(), lr=0.01) for network in networks]
    cross_pseudo_supervision_step(Players(sn=players.sn, second=second), batches, means, weight=0.5, cutmix=1.0)
    for batch in batches:
        masks = cutmix_masks(batch.unannotated, 1.0, torch.Generator().manual_seed(batch.seed))
        labels = [mix(network.eval()(batch.unannotated).argmax(1), masks) for network in networks]
        for network, others in zip(networks, reversed(labels), strict=True):
            network.train()
            loss = F.cross_entropy(network(batch.images), batch.targets)
            loss = loss + 0.5 * F.cross_entropy(network(mix(batch.unannotated, masks)), others)
            (loss / 2).backward()
    for optimizer, network, ours in zip(optimizers, networks, (players.sn.bare, twin), strict=True):
        optimizer.step()
        torch.testing.assert_close(ours.state_dict(), network.state_dict(), rtol=1e-4, atol=1e-6)


class Judge(nn.Module):
    """Gives each pixel, each pair of pixels or the whole image the mean foreground probability, as a logit."""

    def __init__(self, width: int | None):
        super().__init__()
        self.width = width

    def forward(self, inputs):
        foreground = inputs[:, -1:]
        if self.width is None:
            return torch.logit(foreground.mean((2, 3)))
        return torch.logit(F.avg_pool2d(foreground, (1, self.width)))


def judged(width: int | None) -> Players:
    judge = Judge(width)
    return Players(sn=players_of(Known()).sn, en=Player(network=judge, bare=judge, optimizer=None))


@pytest.mark.parametrize(("width", "counted"), [(1, [1, 0, 1, 0]), (None, [1, 1, 1, 1])])
def test_labels_count_where_the_en_takes_them_for_annotated(width, counted):
    """Scores are 0.9, 0.1, 0.6, 0.15 for pixels, and 0.44 for the image; the limit is 0.2, labels are 1, 0, 1, 0."""
    annotated = {"images": image(0.5, 0.5, 0.5, 0.5), "targets": torch.tensor([[[0, 1, 0, 1]]])}
    batch = Batch(**annotated, unannotated=image(0.9, 0.1, 0.6, 0.15), strong=(image(0.7, 0.6, 0.4, 0.2),))
    numbers = supervised_step(judged(width), [batch], MEANS, Weighted(term=EnConfidence(), weight=1.0))
    losses = [-math.log(one) for one in (0.7, 0.4, 0.4, 0.8)]
    expected = sum(loss * one for loss, one in zip(losses, counted, strict=True)) / 4
    assert numbers["unannotated_loss"] == pytest.approx(expected)
    assert numbers["confident_share"] == sum(counted) / 4


def test_scores_of_patches_are_interpolated():
    """Patches of two pixels score 0.9 and 0.1: the pixels 0.9, 0.7, 0.3 and 0.1."""
    batch = Batch(**ANNOTATED, unannotated=image(0.9, 0.9, 0.1, 0.1), strong=(image(0.5, 0.5, 0.5, 0.5),))
    for confidence, share in ((0.75, 0.25), (0.65, 0.5), (0.25, 0.75)):
        lesson = EnConfidence(confidence=confidence)(judged(2), batch, MEANS, torch.Generator())
        assert lesson.loss(Known()(lesson.images))[1]["confident_share"] == share


class Featured(nn.Module):
    """Two channels of features, both the logit of the image, of which the mean is the foreground's logit."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(0.0))

    def forward(self, images, perturb=None):
        features = torch.logit(images).expand(-1, 2, -1, -1)
        features = features if perturb is None else perturb(features)
        foreground = features.mean(1, keepdim=True) + self.shift
        return torch.cat([torch.zeros_like(foreground), foreground], dim=1)


def test_one_weak_view_teaches_two_strong_ones_and_itself_with_features_left_out():
    """Of two channels, each is 0 or doubled: the logit is 0, 1 or 2 times its own, with probability 1/4, 1/2, 1/4."""
    players = players_of(Featured(), Featured())
    seen = set()
    for seed in range(20):
        strong = (image(0.6, 0.5), image(0.7, 0.5))
        batch = Batch(**ANNOTATED, unannotated=image(0.98, 0.9), strong=strong, seed=seed)
        term = UniMatch(labels_from="average", confidence=0.95)
        lesson = term(players, batch, MEANS, torch.Generator().manual_seed(seed))
        logits = players.sn.bare(torch.cat([batch.images, lesson.images]), perturb=lesson.perturb)
        torch.testing.assert_close(logits[:1].softmax(1)[:, 1:], batch.images)  # neither annotated images
        torch.testing.assert_close(logits[1:3].softmax(1)[:, 1:], torch.cat(strong))  # nor strong views are perturbed
        factor = logits[3, 1, 0, 0].item() / logit(0.98)
        loss, numbers = lesson.loss(logits[1:])
        features = -math.log(1 / (1 + math.exp(-factor * logit(0.98))))
        assert loss.item() == pytest.approx((0.5 * features - 0.25 * math.log(0.6) - 0.25 * math.log(0.7)) / 2)
        assert numbers["confident_share"] == 0.5
        seen.add(round(factor, 4))
    assert seen == {0.0, 1.0, 2.0}


def test_self_training_has_the_loss_of_the_masks_with_labels_for_masks():
    """Cross-entropy with the labels on the strong view, over the counted pixels: -(ln 0.8 + ln 0.7) / 2."""
    players = players_of(Known())
    labels = torch.tensor([[[1, 0, IGNORE]]])
    batch = Batch(**ANNOTATED, unannotated=image(0.5, 0.5, 0.5), labels=labels, strong=(image(0.8, 0.3, 0.9),))
    lesson = SelfTraining()(players, batch, MEANS, torch.Generator())
    loss, told = lesson.loss(players.sn.bare(lesson.images))
    assert loss.item() == pytest.approx(-(math.log(0.8) + math.log(0.7)) / 2)
    assert told == {}


def test_rectangles_of_self_training_bring_their_labels():
    """Two images of one colour each: wherever a pixel has the other colour, it has the other label too."""
    dark, bright = torch.full((1, 1, 8, 8), 0.2), torch.full((1, 1, 8, 8), 0.8)
    labels = torch.cat([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)]).long()
    both = torch.cat([dark, bright])
    batch = Batch(images=both, targets=labels, unannotated=both, labels=labels, strong=(both,))
    lesson = SelfTraining(cutmix=1.0)(players_of(Known()), batch, MEANS, torch.Generator().manual_seed(0))
    assert 0.3 < (lesson.images[0] > 0.5).float().mean().item() < 0.7  # half of it, in whole pixels
    certain = torch.cat([torch.zeros(2, 1, 8, 8), 50 * (lesson.images - 0.5)], dim=1)
    assert lesson.loss(certain)[0].item() < 1e-5


def test_left_out_channels_are_made_up_for():
    maps = torch.ones(3, 2000, 1, 1)
    found = drop_channels(maps, count=2, share=0.75, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found[0], maps[0])
    assert set(found[1:].flatten().tolist()) == {0.0, 4.0}
    assert found[1:].mean().item() == pytest.approx(1, abs=0.1)


TERMS = {
    "plain": MeanTeacher(),
    "mean_teacher": MeanTeacher(cutmix=0.5),
    "uncertainty": MeanTeacher(passes=2, certainty=1.0),
    "fixmatch": FixMatch(labels_from="average", confidence=0.5),
    "student": FixMatch(labels_from="student", confidence=0.5, cutmix=1.0),
    "entropy_minimisation": entropy_minimisation,
    "self_training": SelfTraining(cutmix=0.5),
}


def taught(make, **options):
    players, batches, means = make(**options)
    average = copy.deepcopy(players.sn.bare).requires_grad_(False).eval()
    noise = torch.Generator().manual_seed(9)
    batches = [
        Batch(
            images=batch.images,
            targets=batch.targets,
            unannotated=batch.unannotated,
            labels=(batch.unannotated[:, 0] > 0).long(),
            strong=(batch.unannotated + 0.3 * torch.randn(batch.unannotated.shape, generator=noise),),
            seed=number,
        )
        for number, batch in enumerate(batches)
    ]
    return Players(sn=players.sn, en=players.en, average=average), batches, means


@pytest.mark.parametrize("name", TERMS)
def test_annotated_images_beside_and_no_trace_in_anybody_else(make, name):
    """Batch norm of the SN counts one batch, of both kinds of images, or one of each; the teacher stays as it is."""
    players, batches, means = taught(make)
    before = copy.deepcopy((players.average.state_dict(), players.sn.bare.state_dict()))
    term = TERMS[name]
    lesson = term(players, batches[0], means, torch.Generator().manual_seed(0))
    torch.testing.assert_close(before, (players.average.state_dict(), players.sn.bare.state_dict()), rtol=0, atol=0)
    naive = copy.deepcopy(players.sn.bare)
    apart = name == "entropy_minimisation"
    passes = [batches[0].images, lesson.images] if apart else [torch.cat([batches[0].images, lesson.images])]
    logits = torch.cat([naive(images) for images in passes])
    loss = F.cross_entropy(logits[:3], batches[0].targets) + 0.5 * lesson.loss(logits[3:])[0]
    loss.backward()
    numbers = supervised_step(players, batches, means, Weighted(term=term, weight=0.5))
    assert numbers["train_loss"] + 0.5 * numbers["unannotated_loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert players.sn.bare[1].num_batches_tracked == len(passes)
    torch.testing.assert_close(players.sn.bare[1].running_mean, naive[1].running_mean)
    assert not players.average.training
    assert players.sn.bare.training


@pytest.mark.parametrize("name", ["plain", "fixmatch", "entropy_minimisation"])
def test_several_batches_equal_one_large_batch_without_batch_norm(make, name):
    """Where neither rectangles nor the number of counted pixels depend on the batch."""
    players, batches, means = taught(make, batches=2, norm=False)
    whole, _, _ = taught(make, batches=2, norm=False)
    merged = Batch(
        images=torch.cat([batch.images for batch in batches]),
        targets=torch.cat([batch.targets for batch in batches]),
        unannotated=torch.cat([batch.unannotated for batch in batches]),
        strong=(torch.cat([batch.strong[0] for batch in batches]),),
    )
    extra = Weighted(term=TERMS[name], weight=0.5)
    several, one = supervised_step(players, batches, means, extra), supervised_step(whole, [merged], means, extra)
    assert several == pytest.approx(one, rel=1e-4)
    torch.testing.assert_close(players.sn.bare.state_dict(), whole.sn.bare.state_dict(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2])
def test_with_an_en_the_one_update_has_all_three_terms(make, count):
    """Gradients of masks and teacher, and of the EN as it is after its update, add up."""
    players, batches, means = taught(make, batches=count, norm=False)
    naive, _, _ = taught(make, batches=count, norm=False)
    extra = Weighted(term=TERMS["fixmatch"], weight=0.5)
    options = DanOptions(sigma=0.7, sn_update="joint")
    gradients = []
    original = players.sn.optimizer.step
    players.sn.optimizer.step = lambda: (
        gradients.append([weight.grad.clone() for weight in players.sn.bare.parameters()]),
        original(),
    )
    numbers = dan_step(players, batches, means, options, extra)
    assert numbers["sn_updates"] == len(gradients) == 1
    for batch in batches:
        lesson = extra.term(naive, batch, means, torch.Generator().manual_seed(batch.seed))
        logits = naive.sn.bare(torch.cat([batch.images, lesson.images]))
        loss = F.cross_entropy(logits[:3], batch.targets) + 0.5 * lesson.loss(logits[3:])[0]
        probability = naive.sn.bare(batch.unannotated).softmax(1)[:, 1:]
        score = players.en.bare(torch.cat([batch.unannotated, probability], 1))  # the EN after its update
        ((loss + 0.7 * -F.logsigmoid(score).mean()) / count).backward()
    expected = [weight.grad for weight in naive.sn.bare.parameters()]
    torch.testing.assert_close(gradients[0], expected, rtol=1e-4, atol=1e-6)


def test_the_control_moves_the_weights_as_supervised_training_does_and_the_statistics_as_dan(make):
    control, batches, means = make()
    alone, _, _ = make()
    dan, _, _ = make()
    numbers = batch_norm_only_step(control, batches, means)
    supervised_step(alone, batches, means)
    dan_step(dan, batches, means, DanOptions(sigma=0.0, sn_update="joint"))
    assert numbers["sn_updates"] == 1
    for name, weight in control.sn.bare.named_parameters():
        torch.testing.assert_close(weight, alone.sn.bare.get_parameter(name))
    torch.testing.assert_close(control.sn.bare.state_dict(), dan.sn.bare.state_dict())
    assert not torch.equal(control.sn.bare[1].running_mean, alone.sn.bare[1].running_mean)


def test_a_loss_that_is_not_finite_stops_before_the_update(make):
    players, batches, means = taught(make)
    before = copy.deepcopy(players.sn.bare.state_dict())

    def term(players, batch, means, generator):
        return Lesson(images=batch.unannotated, loss=lambda logits: (logits.sum() * math.inf, {}))

    with pytest.raises(NonFiniteLossError, match="the unannotated loss is"):
        supervised_step(players, batches, means, Weighted(term=term, weight=1.0))
    weights = {name: before[name] for name, _ in players.sn.bare.named_parameters()}
    torch.testing.assert_close(dict(players.sn.bare.named_parameters()), weights, rtol=0, atol=0)


def test_an_object_is_as_sure_with_contours_as_without():
    """Inside 0.5 and contour 0.45 are 0.95 of an object, and the background is 0.9 sure where it is."""
    probabilities = [[0.05, 0.5, 0.45], [0.9, 0.05, 0.05], [0.97, 0.02, 0.01], [0.4, 0.29, 0.31]]
    pixels = torch.tensor(probabilities).T[None, :, None].log()
    labels, counted = confident_labels(pixels, 0.94, contours=True)
    assert labels.tolist() == [[[1, 0, 0, 2]]]
    assert counted.tolist() == [[[True, False, True, False]]]
    assert confident_labels(pixels, 0.94, contours=False)[0].tolist() == [[[1, 0, 0, 0]]]
    assert confident_labels(pixels, 0.94, contours=False)[1].tolist() == [[[False, False, True, False]]]
