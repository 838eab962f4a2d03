"""Settings of the data, and the class of pixels that do not count."""

from inspect import signature

from flexdan import config, data, losses, metrics


def test_one_value_marks_the_pixels_that_do_not_count():
    assert data.IGNORE == config.IGNORE
    assert losses.segmentation.IGNORE == config.IGNORE
    assert signature(metrics.confusion_counts).parameters["ignore"].default == config.IGNORE
