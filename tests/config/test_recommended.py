import pytest

from flexdan.config import config_from_mapping, recommended_settings, recommended_strategies, says_nothing_but_data


@pytest.mark.parametrize("machine", ["cpu", "gpu"])
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("strategy", ["supervised", "self_training", "dan+self_training", "fixmatch", "unimatch"])
def test_recommended_settings_are_valid_for_any_images(machine, channels, strategy):
    settings = recommended_settings(machine, channels, diameter=70.0, strategy=strategy)
    config = config_from_mapping(settings)[0]
    assert config.sn.model_type == "EncoderUNet"
    assert config.strategy == strategy
    assert (config.unannotated.strong_hue == 0.05) == (strategy != "supervised")
    assert config.training.num_epochs / config.generations == {"cpu": 30, "gpu": 60}[machine]
    of_colour = {"augmentation.saturation", "augmentation.hue", "augmentation.stain_jitter"} & set(settings)
    assert bool(of_colour) == (channels == 3)


def test_unannotated_images_are_learnt_from_where_they_are_more():
    counts = [(9, 76), (17, 68), (43, 42), (85, 0)]
    few = ["unimatch", "self_training"]
    assert [recommended_strategies(*pair) for pair in counts] == [few, few, ["supervised"], ["supervised"]]


@pytest.mark.parametrize(("diameter", "width"), [(0.0, 1), (15.0, 1), (50.0, 2), (70.0, 3), (400.0, 3)])
def test_contours_are_narrow_where_objects_are_small(diameter, width):
    assert recommended_settings("cpu", 3, diameter, "supervised")["sn.contour_width"] == width


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
