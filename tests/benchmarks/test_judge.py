"""What the EN of a training goes by."""

import judge
import pytest
import torch

from flexdan.config import config_from_mapping
from flexdan.engine import train

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
