"""Is the evaluation network healthy? A verdict on one epoch, from its numbers alone."""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

State = Literal["healthy", "saturated", "collapsed", "idle"]
UNDECIDED = 2 * math.log(2)  # the EN's two losses together where every score is one half

SURE = 0.95  # share of images judged rightly, from which on the EN wins
SURE_LOSS = 0.3  # of UNDECIDED: it is also certain of it
WORSE = 0.4  # share judged rightly, below which guessing would be better
NO_BETTER = 0.6  # share judged rightly, below which the EN as good as guesses
CONFUSED_LOSS = 1.5  # of UNDECIDED: it is certain, and wrong
FLAT = 0.02  # standard deviation of the scores, below which they are all the same
NEGLIGIBLE = 0.01  # of the gradient of the segmentation loss

COLLAPSED = {  # what helps, by the network that is frozen
    "none": "lower sigma, raise en_lr or en_steps, or take a larger EN",
    "sn": "raise en_lr, or take a larger EN",
    "en": "lower sigma, or do not freeze the EN",
}
SATURATED = {
    "none": "lower en_lr, set label_smoothing 0.1 or en.spectral_norm, or take a smaller EN",
    "sn": "it has learnt what it can; let it play, with init_en",
    "en": "lower sigma, or do not freeze the EN",
}


class Health(NamedTuple):
    """What the numbers of an epoch say, and what to change."""

    state: State
    advice: str


def judge_health(
    numbers: Mapping[str, float], frozen: Literal["none", "sn", "en"] = "none", undecided: float = UNDECIDED
) -> Health:
    """Tell how the contest between SN and EN stands.

    - collapsed: the EN gives up. It judges no better than by chance, and its scores are all the same or wildly wrong.
    - idle: the EN's term moves the SN by less than 1 % of what the segmentation loss does.
    - saturated: the EN wins. It is right about at least 95 % of the images, and sure.
    - healthy: anything else, also an EN that is right about one half while its scores differ: the SN has caught up.

    Args:
        numbers: of one epoch, as `dan_step` names them; a frozen SN has no gradient norms and is not called idle.
        frozen: the network that does not learn, to which no advice applies.
        undecided: the EN's two losses together where it is, see `EnLoss`.
    """
    known, unknown = numbers["en_accuracy_annotated"], numbers["en_accuracy_unannotated"]
    accuracy = (known + unknown) / 2
    loss = (numbers["en_loss_annotated"] + numbers["en_loss_unannotated"]) / undecided
    flat = numbers["en_score_spread"] < FLAT
    found = f"EN right about {known:.0%} of annotated, {unknown:.0%} of unannotated images"
    if accuracy < WORSE and frozen != "sn":
        found += ", worse than chance: the SN is ahead of it"
    if accuracy < NO_BETTER and (flat or loss > CONFUSED_LOSS):
        how = "all scores alike" if flat else f"its loss {loss:.1f} times that of an undecided one"
        return Health("collapsed", f"{found}, {how}: {COLLAPSED[frozen]}")
    ratio = gradient_ratio(numbers)
    if ratio is not None and ratio < NEGLIGIBLE:
        return Health("idle", f"the EN's gradient in the SN is {ratio:.1%} of that of the masks: raise sigma")
    if accuracy >= SURE and loss < SURE_LOSS:
        return Health("saturated", f"{found}, and sure: {SATURATED[frozen]}")
    return Health("healthy", found)


def gradient_ratio(numbers: Mapping[str, float]) -> float | None:
    """Return the gradient norm of the EN's term over that of the segmentation loss; None where there is none."""
    segmentation = numbers.get("sn_grad_norm_segmentation")
    adversarial = numbers.get("sn_grad_norm_adversarial")
    if segmentation is None or adversarial is None:
        return None
    return adversarial / segmentation if segmentation > 0 else math.inf
