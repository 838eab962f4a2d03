"""What differs between configurations by intention, perhaps: told beside a fair-comparison check, it fails nothing."""

from collections.abc import Callable, Sequence

from flexdan.config import has_en
from flexdan.report.checks import MISSING, Check, members, shared_seeds, some
from flexdan.report.configurations import Configuration, differing_settings
from flexdan.report.facts import many

_TOLD = (  # beginnings of settings that other lines are about
    *("augmentation.", "sn.", "strategy", "data.annotated", "data.image_size", "data.crop", "data.reduce"),
    *("data.train_split", "data.val_split"),
)


def _seeds(configurations: Sequence[Configuration]) -> Check:
    shared = shared_seeds(configurations)
    rest = {one.name: sorted(set(one.members) - set(shared)) for one in configurations}
    odd = [f"{name}: seed {', '.join(map(str, seeds))}" for name, seeds in rest.items() if seeds]
    text = f"{many(len(shared), 'seed')} in all: {', '.join(map(str, shared)) or '-'}"
    alone = f"; not in all: {some(odd)}, left out of differences where the other side lacks it" if odd else ""
    return Check(name="seeds", state="info", found=text + alone)


def _unannotated(configurations: Sequence[Configuration]) -> Check:
    texts = []
    for one in configurations:
        first = next(iter(one.members.values()))
        half = has_en(one.strategy) and first.settings["adversarial.unannotated_source"] == "half_batch"
        used = one.strategy != "supervised" and not half
        texts.append(f"{one.name}: {first.run.start.get('unannotated', MISSING) if used else 0}")
    return Check(name="unannotated images used", state="info", found=some(texts))


def _differs(name: str, prefix: str, parameters: str = "") -> Callable[[Sequence[Configuration]], Check]:
    def check(configurations: Sequence[Configuration]) -> Check:
        found = {key: values for key, values in differing_settings(configurations).items() if key.startswith(prefix)}
        texts = [f"{key.removeprefix(prefix)} {' | '.join(values)}" for key, values in found.items()]
        counts = sorted({str(one.run.start.get(parameters, "")) for one in members(configurations)})
        texts += [f"{parameters} {' | '.join(counts)}"] * (len(counts) > 1)
        return Check(name=name, state="info", found=f"differs, by intention? {some(texts, 8)}" if texts else "the same")

    return check


def _others(configurations: Sequence[Configuration]) -> Check | None:
    found = {key: values for key, values in differing_settings(configurations).items() if not key.startswith(_TOLD)}
    texts = [f"{key} {' | '.join(value or '-' for value in values)}" for key, values in found.items()]
    precisions = sorted({str(one.run.start.get("precision", MISSING)) for one in members(configurations)})
    texts += [f"precision {' | '.join(precisions)}"] * (len(precisions) > 1)
    if not texts:
        return None
    return Check(name="other settings", state="info", found=f"differs, by intention? {some(texts, 12)}")


NOTES = (
    *(_seeds, _unannotated, _differs("augmentation", "augmentation.")),
    *(_differs("segmentation network", "sn.", "parameters"), _others),
)
