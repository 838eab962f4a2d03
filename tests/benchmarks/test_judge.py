"""What the EN of a training goes by."""

import judge
import numpy as np
import pytest
import torch

from flexdan.config import IGNORE, config_from_mapping
from flexdan.data import read_manifest
from flexdan.data.dataset import load_mask
from flexdan.engine import load_run, train
from flexdan.engine.setup import gather_data

SETTINGS = {
    "data.annotated": 2,
    "data.image_size": [32, 48],
    "sn.first_layer_out_channels": 6,
    "sn.num_fcn_blocks": 3,
    "strategy": "dan",
    "en.model_type": "PatchEN",
    "en.first_layer_out_channels": 4,
    "adversarial.en_input": "map",
    "training.num_epochs": 1,
    "training.batch_size": 2,
    "training.tensorboard": False,
}


class HowSure(torch.nn.Module):
    """An EN whose score is the SN's mean confidence, of two classes 1/2 + |p - 1/2|, as a logit."""

    def load_state_dict(self, *_):
        pass

    def forward(self, maps):
        return torch.logit(0.5 + (maps - 0.5).abs().mean((1, 2, 3), keepdim=True))


def test_an_en_that_goes_by_how_sure_the_network_is(discs, tmp_path, monkeypatch):
    train(config_from_mapping(SETTINGS | {"data.manifest": str(discs)})[0], tmp_path)
    own = judge.judge(tmp_path)
    assert all(0 < own[f"score_{kind}"] < 1 for kind in ("annotated", "unannotated"))
    monkeypatch.setattr(judge, "build_en", lambda config: HowSure())
    found = judge.judge(tmp_path)
    assert found["with_confidence"] == pytest.approx(1)
    assert found["with_dice"] == pytest.approx(found["confidence_with_dice"])
    assert found["confidence_with_dice"] == pytest.approx(own["confidence_with_dice"])  # the SN is the same
    assert found["score_unannotated"] > 0.5


def test_labels_that_are_right_by_hand(discs, tmp_path, capsys):
    """All labels are the masks, but that one image has none, and another has every pixel wrong; some have no mask."""
    changes = {"strategy": "dan+self_training", "training.num_epochs": 2, "data.image_size": "auto"}
    train(config_from_mapping(SETTINGS | changes | {"data.manifest": str(discs)})[0], tmp_path)
    masked = {one.image: one for one in read_manifest(discs) if one.annotated}
    unannotated = gather_data(load_run(tmp_path, "last").config).unannotated
    masks = {place: load_mask(masked[one.image]) for place, one in enumerate(unannotated) if one.image in masked}
    (_, nothing), (_, wrong), *others = masks.items()
    labels = {place: np.zeros_like(nothing) for place in range(len(unannotated))} | masks
    places = list(masks)
    labels[places[0]], labels[places[1]] = np.full_like(nothing, IGNORE), 1 - wrong
    np.savez(tmp_path / judge.LABELS, *labels.values())
    found, images = judge.judge_labels(tmp_path), len(masks)
    assert found["labels"] == pytest.approx((images - 1) / images)
    assert found["labels_right"] == pytest.approx((images - 2) / (images - 1))
    both = sum(one.sum() for _, one in others)
    assert found["labels_dice"] == pytest.approx(2 * both / (2 * both + wrong.size))
    capsys.readouterr()
    judge.main([str(tmp_path)])
    assert "with_dice" in (printed := capsys.readouterr().out)
    assert f"labels_right {found['labels_right']:.3f}" in printed
