"""Deep adversarial networks: a segmentation network (SN) judged by an evaluation network (EN).

Zhang, Yang, Chen, Fredericksen, Hughes, Chen: "Deep Adversarial Networks for Biomedical Image Segmentation Utilizing
Unannotated Images", MICCAI 2017.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from flexdan.losses import EN_LOSSES
from flexdan.strategies.en_input import EnInput, en_inputs, predicted_maps, true_maps
from flexdan.strategies.lesson import Weighted, lesson_of, mean_numbers, taught_pass
from flexdan.strategies.step import Batch, Means, Player, Players, check_finite, gradient_norm, update

JUDGEMENT = (  # what the EN's update tells of it
    *("en_loss_annotated", "en_loss_unannotated", "en_accuracy_annotated", "en_accuracy_unannotated"),
    "en_score_spread",
)


@dataclass(frozen=True, kw_only=True)
class DanOptions:
    """The variants of the step; the names are those of the `adversarial` section of the settings."""

    sigma: float
    sn_update: Literal["separate", "joint"] = "separate"
    en_input: EnInput = "concatenate"
    en_annotated: Literal["prediction", "ground_truth"] = "prediction"
    sigma_in_en_loss: bool = False
    en_steps: int = 1
    en_criterion: str = "binary_cross_entropy"
    label_smoothing: float = 0.0
    freeze: Literal["none", "sn", "en"] = "none"


def dan_step(
    players: Players, batches: Sequence[Batch], means: Means, options: DanOptions, extra: Weighted | None = None
) -> dict[str, float]:
    r"""Do the three updates of one iteration (figure 1 of the paper), in its order.

    Over SN S and EN E the objective is :math:`\min_S \max_E \; \ell_{ce}(S(X), Y) - \sigma [\ell_{bce}(E(S(X), X), 1) +
    \ell_{bce}(E(S(U), U), 0)]`, with the non-saturating form :math:`\sigma \ell_{bce}(E(S(U), U), 1)` for S.

    The EN always sees annotated and unannotated images in one batch: its batch norm would else give each kind
    statistics of its own, by which they are told apart without effort. In the third update it is called with copies of
    its weights and statistics, so that nothing of it changes.

    With several batches (gradient accumulation) each update has the gradients of all of them, and the unannotated
    images go through the SN twice, so that no more than one batch is in memory.

    Where the SN's optimiser is Adam and `sn_update` is separate, both of its updates share the moments: how far the
    third one moves it then hardly depends on sigma, which weighs the two gradients against each other. In a joint
    update sigma does what the objective says.

    Args:
        players: SN and EN, in training mode.
        batches: with unannotated images.
        means: how passes and updates are done.
        options: the variant, and sigma.
        extra: another term of the SN's loss, which goes with that of the masks (1.).

    Returns:
        train_loss, and what another term tells; en_loss_annotated, en_loss_unannotated (see `EnLoss.undecided`), the
        shares en_accuracy_annotated and en_accuracy_unannotated that it judges rightly, the standard deviation
        en_score_spread of its scores, en_grad_norm; adversarial_loss, without sigma, and sigma; the norms
        sn_grad_norm_segmentation (with another term) and sn_grad_norm_adversarial of the gradients of the two terms in
        the SN's loss; the number sn_updates. What a frozen network does not do is left out.

    Raises:
        NonFiniteLossError: before an update, if its loss is not finite.
    """
    sn, en = players.sn, players.en
    assert en is not None, "adversarial training needs an evaluation network"
    numbers: dict[str, float] = {"sigma": options.sigma}
    learns = options.freeze != "sn"
    if not learns:
        sn.bare.eval()

    # 1. The SN learns from annotated images.
    annotated, told = [], []
    for number, batch in enumerate(batches, start=1):
        lesson = lesson_of(extra, players, batch, means)
        with means.sync(sn.network, last=number == len(batches)), torch.set_grad_enabled(learns):
            logits, loss, found = taught_pass(sn, batch, means, lesson, extra.weight if extra else 0.0)
            if learns:
                means.backward(loss / len(batches))
        told.append(found)
        prediction = options.en_annotated == "prediction"
        maps = predicted_maps(logits.detach()) if prediction else true_maps(batch.targets, logits.shape[1])
        annotated.append(maps)
    numbers |= mean_numbers(told)
    kept: list[Tensor | None] = []
    if learns:
        numbers["sn_grad_norm_segmentation"] = float(gradient_norm(sn))
        if options.sn_update == "separate":
            update(sn, means.max_grad_norm)
        else:
            kept = _take_gradients(sn)

    # 2. The EN learns to tell the results on annotated images (towards 1) from those on unannotated ones (towards 0).
    whole = learns and len(batches) == 1  # then these predictions, with their graph, serve the third update too
    unannotated = []
    for batch in batches:
        assert batch.unannotated is not None, "adversarial training needs unannotated images"
        with torch.set_grad_enabled(whole), means.autocast():
            logits = sn.network(batch.unannotated) if whole else _untouched(sn.bare, batch.unannotated)
            unannotated.append(predicted_maps(logits))
    mixed = [
        en_inputs(_images(batch), torch.cat([known, unknown.detach()]), options.en_input)
        for batch, known, unknown in zip(batches, annotated, unannotated, strict=True)
    ]
    for turn in range(options.en_steps):
        judged = _en_update(en, mixed, [len(batch.images) for batch in batches], means, options)
        numbers |= judged if turn == 0 else {}

    # 3. The SN learns to make the EN take its results on unannotated images for those on annotated ones.
    if not learns:
        return numbers | {"sn_updates": 0.0}
    adversarial_loss = 0.0
    for number, (batch, known, unknown) in enumerate(zip(batches, annotated, unannotated, strict=True), start=1):
        with means.sync(sn.network, last=number == len(batches)):
            if not whole:
                with means.autocast():
                    unknown = predicted_maps(sn.network(batch.unannotated))
            inputs = en_inputs(_images(batch), torch.cat([known, unknown]), options.en_input)
            with means.autocast():
                scores = _untouched(en.bare, inputs)[len(batch.images) :]
            loss = EN_LOSSES[options.en_criterion].fool(scores)
            check_finite(loss, "adversarial")
            means.backward(options.sigma * loss / len(batches))
        adversarial_loss += loss.item() / len(batches)
    numbers["sn_grad_norm_adversarial"] = float(gradient_norm(sn))
    numbers["adversarial_loss"] = adversarial_loss
    if options.sn_update == "joint":
        _add_gradients(sn, kept)
    elif options.sigma == 0:  # Adam would still move on by its momentum
        sn.optimizer.zero_grad(set_to_none=True)
        return numbers | {"sn_updates": 1.0}
    update(sn, means.max_grad_norm)
    return numbers | {"sn_updates": 2.0 if options.sn_update == "separate" else 1.0}


def _en_update(
    en: Player, mixed: Sequence[Tensor], annotated: Sequence[int], means: Means, options: DanOptions
) -> dict[str, float]:
    """Update the EN, unless it is frozen, from inputs whose first images are annotated; return how it judged before."""
    learns = options.freeze != "en"
    weight = options.sigma if options.sigma_in_en_loss else 1.0
    kind, found = EN_LOSSES[options.en_criterion], []
    for number, (inputs, count) in enumerate(zip(mixed, annotated, strict=True), start=1):
        with means.sync(en.network, last=number == len(mixed)), torch.set_grad_enabled(learns):
            with means.autocast():
                logits = (en.network(inputs) if learns else _untouched(en.bare, inputs)).float()
            known, unknown = logits[:count], logits[count:]
            smoothing = options.label_smoothing
            loss = kind.known(known, smoothing) + kind.unknown(unknown, smoothing)
            check_finite(loss, "EN's")
            if learns:
                means.backward(weight * loss / len(mixed))
        spread = kind.share(logits.detach()).std(correction=0)
        accuracies = (known > kind.limit).float().mean(), (unknown < kind.limit).float().mean()
        losses = (
            kind.known(known.detach(), 0.0),
            kind.unknown(unknown.detach(), 0.0),
        )  # without smoothing: 0 at the best
        found.append(torch.stack([*losses, *accuracies, spread]))
    numbers: dict[str, float] = dict(zip(JUDGEMENT, torch.stack(found).mean(0).tolist(), strict=True))
    if learns:
        numbers["en_grad_norm"] = float(gradient_norm(en))
        update(en, means.max_grad_norm)
    return numbers


def _images(batch: Batch) -> Tensor:
    assert batch.unannotated is not None
    return torch.cat([batch.images, batch.unannotated])  # (N + M, C, H, W)


def _untouched(network: nn.Module, inputs: Tensor) -> Tensor:
    """Call a network as it is without touching it: no gradient reaches its weights, its statistics stay."""
    weights = {name: weight.detach() for name, weight in network.named_parameters()}
    statistics = {name: buffer.clone() for name, buffer in network.named_buffers()}
    return functional_call(network, weights | statistics, (inputs,))


def _take_gradients(player: Player) -> list[Tensor | None]:
    """Return the gradients of a network and leave it without any."""
    gradients = [weight.grad for weight in player.bare.parameters()]
    player.optimizer.zero_grad(set_to_none=True)
    return gradients


def _add_gradients(player: Player, gradients: Sequence[Tensor | None]) -> None:
    for weight, gradient in zip(player.bare.parameters(), gradients, strict=True):
        if gradient is not None:
            weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
