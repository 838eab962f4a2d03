import pytest

from flexdan.config import config_from_mapping, recommended_settings, says_nothing_but_data


@pytest.mark.parametrize("machine", ["cpu", "gpu"])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_recommended_settings_are_valid_for_any_images(machine, channels):
    settings = recommended_settings(machine, channels)
    assert config_from_mapping(settings)[0].sn.model_type == "EncoderUNet"
    of_colour = {"augmentation.saturation", "augmentation.hue", "augmentation.stain_jitter"} & set(settings)
    assert bool(of_colour) == (channels == 3)


@pytest.mark.parametrize(
    ("changed", "nothing"),
    [
        ([], True),
        (["data.manifest", "data.annotated", "seed", "training.device", "training.num_workers"], True),
        (["data.manifest", "training.num_epochs"], False),
        (["strategy"], False),
    ],
)
def test_settings_that_say_how_to_train_are_told_from_those_that_do_not(changed, nothing):
    assert says_nothing_but_data(changed) == nothing
