"""Configurations that are compared: runs that differ in nothing but the seed, and their names."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flexdan.config import UserError
from flexdan.metrics import Scores
from flexdan.report.contestants import WITHOUT_EFFECT, Contestant, differing, text_of
from flexdan.report.sweep_figures import shorten

_LONGEST = 72  # characters of a name


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Runs that differ in the seed only.

    Args:
        name: the settings in which it differs from the others.
        members: by seed, ascending.
    """

    name: str
    members: Mapping[int, Contestant]

    @property
    def scores(self) -> dict[int, Scores]:
        """What was counted, by seed."""
        return {seed: one.scores for seed, one in self.members.items()}

    @property
    def strategy(self) -> str:
        """How its networks learn."""
        return next(iter(self.members.values())).settings["strategy"]


def group_runs(contestants: Sequence[Contestant]) -> list[Configuration]:
    """Put runs together that differ in the seed only, in their order, and name what they differ in.

    Raises:
        UserError: if two runs have the same settings, the same data and the same seed, or were measured on different
            images.
    """
    groups: dict[str, list[Contestant]] = {}
    for one in _aligned(contestants):
        groups.setdefault(_key(one), []).append(one)
    for members in groups.values():
        by_seed: dict[int, Contestant] = {}
        for one in members:
            if other := by_seed.setdefault(one.seed, one):
                _refuse_twins(one, other)
    names = _names([members[0] for members in groups.values()])
    return [
        Configuration(name=name, members={one.seed: one for one in sorted(members, key=lambda one: one.seed)})
        for name, members in zip(names, groups.values(), strict=True)
    ]


def find_baseline(configurations: Sequence[Configuration], name: str = "") -> Configuration:
    """Return the configuration that others are compared with: the named one, the only supervised one, or the first.

    Raises:
        UserError: if there is none of that name.
    """
    if name:
        for one in configurations:
            if name == one.name or any(Path(name).resolve() == it.run.folder.resolve() for it in one.members.values()):
                return one
        names = "; ".join(one.name for one in configurations)
        raise UserError(f"--baseline is {name!r}: it must be one of the configurations ({names}), or a run folder")
    supervised = [one for one in configurations if one.strategy == "supervised"]
    return supervised[0] if len(supervised) == 1 else configurations[0]


def differing_settings(configurations: Sequence[Configuration]) -> dict[str, list[str]]:
    """Return the settings in which configurations differ: for each its values, as text, in their order."""
    firsts = [next(iter(one.members.values())) for one in configurations]
    return {name: [text_of(one, name) for one in firsts] for name in differing(firsts)}


def _key(one: Contestant) -> str:
    used = {name: value for name, value in one.settings.items() if name not in WITHOUT_EFFECT}
    return json.dumps([used, one.run.start.get("manifest_sha256")], sort_keys=True, default=str)


def _refuse_twins(one: Contestant, other: Contestant) -> None:
    if one is not other:
        raise UserError(
            f"{other.run.folder} and {one.run.folder} have the same settings and the same seed, {one.seed}: name one "
            "of them only, since the same training twice is no second seed"
        )


def _aligned(contestants: Sequence[Contestant]) -> list[Contestant]:
    """Bring the images of all runs into the order of the first; refuse runs that were measured on others."""
    keys = [_image_keys(one.scores) for one in contestants]
    for one, its in zip(contestants, keys, strict=True):
        if Counter(its) != Counter(keys[0]):
            own, other = Counter(its), Counter(keys[0])
            only = sorted(((own - other) + (other - own)).elements())
            raise UserError(
                f"{contestants[0].run.folder} was measured on {len(keys[0])} images, {one.run.folder} on {len(its)}; "
                f"{len(only)} are in only one of them, such as {only[0]}: images are compared one by one, so measure "
                "both on the same manifest"
            )
    places = [{key: place for place, key in enumerate(its)} for its in keys]
    return [
        replace(one, scores=one.scores.select([place[key] for key in keys[0]]))
        for one, place in zip(contestants, places, strict=True)
    ]


def _image_keys(scores: Scores) -> list[str]:
    """Return the file names of images, since data may have moved; their paths, where names are there twice."""
    names = [Path(image).name for image in scores.images]
    return names if len(set(names)) == len(names) else list(scores.images)


def _names(firsts: Sequence[Contestant]) -> list[str]:
    """Return the shortest names from the settings that differ: the strategy first, then as many as it takes."""
    chosen: list[str] = []

    def texts() -> list[tuple[str, ...]]:
        return [tuple(text_of(one, name) for name in chosen) for one in firsts]

    for name in differing(firsts):
        count = len(set(texts()))
        if count == len(firsts):
            break
        chosen.append(name)
        if len(set(texts())) == count:
            chosen.remove(name)
    leaves = Counter(name.rpartition(".")[2] for name in chosen)
    found = []
    for one, values in zip(firsts, texts(), strict=True):
        parts = []
        for name, value in zip(chosen, values, strict=True):
            leaf = name.rpartition(".")[2]
            if name == "strategy":
                parts.append(value)
            elif value:
                parts.append(f"{leaf if leaves[leaf] == 1 else name} {value}")
        found.append(shorten(", ".join(parts or [one.settings["strategy"]]), _LONGEST))
    if len(set(found)) < len(found):  # other data, or cut off
        found = [f"{name} ({number})" for number, name in enumerate(found, start=1)]
    return found
