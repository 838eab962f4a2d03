from flexdan.report.evaluation_tables import (
    describe_intervals,
    describe_objects,
    figure_text,
    group_tables,
    object_tables,
    pixel_tables,
)

PIXELS = {"accuracy": 0.9, "iou": 0.5, "dice": 0.66667, "precision": None, "recall": 0.1}
OBJECTS = dict.fromkeys(
    ("f1", "precision", "recall", "object_dice", "panoptic_quality", "aji", "ap50", "ap75", "ap"), 0.25
)
OBJECTS |= {"object_hausdorff": 45.31, "dice": 0.9, "iou": 0.8, "boundary_f1": 0.5, "hd95": None, "asd": 3.14}


def level(figures, low=0.9, high=1.1, **more):
    ends = {name: None if value is None else [low * value, high * value] for name, value in figures.items()}
    ways = {"pooled": figures, "image_mean": figures, "pooled_interval": ends, "image_mean_interval": {}}
    return {**ways, **more}


FIGURES = {
    "network_size": level(PIXELS, height=24, width=32, classes_pooled=[{}, {}]),
    "full_resolution": level(PIXELS, classes_pooled=[{"iou": 0.9}, {"iou": 0.8}, {"iou": 0.7}]),
    "objects": level(OBJECTS),
    "groups": {"grade": {f"g{number}": {"images": number, "objects": level(OBJECTS)} for number in range(14)}},
    "bootstrap": {"resamples": 500, "seed": 0, "clusters": True},
    "postprocessing": {
        "settings": {"threshold": 0.4, "fill_holes": True, "min_size": 7, "split": "none", "split_depth": 2.0},
        "tuning": {"split": "val", "images": 1, "metric": "f1"},
    },
}


def test_pixels_at_both_sizes_with_intervals():
    small, full = pixel_tables(FIGURES)
    assert small.header == ["pixels, 32 x 24", "accuracy", "IoU", "Dice", "precision", "recall"]
    assert small.rows[0] == [
        "all pixels",
        "0.900 [0.810, 0.990]",
        "0.500 [0.450, 0.550]",
        "0.667 [0.600, 0.733]",
        "-",
        "0.100 [0.090, 0.110]",
    ]
    assert small.rows[1] == ["mean of images", "0.900", "0.500", "0.667", "-", "0.100"]
    assert full.rows[4] == ["pixels, class 2", "-", "0.700", "-", "-", "-"]


def test_distances_have_one_digit():
    challenge, _, boundaries = object_tables(FIGURES)
    assert challenge.header[-1] == "object Hausdorff"
    assert challenge.rows[0][-1] == "45.3 [40.8, 49.8]"
    assert boundaries.rows[0][-2:] == ["-", "3.1 [2.8, 3.5]"]
    assert figure_text("ece", 0.0494) == "0.049"


def test_older_evaluations_have_no_objects():
    assert object_tables({"full_resolution": {}}) == []
    assert group_tables({}) == []


def test_many_groups_are_cut_off_with_a_note():
    (table,) = group_tables(FIGURES)
    assert table.header[:3] == ["by grade, pooled", "images", "F1"]
    assert len(table.rows) == 12
    assert table.rows[3][:3] == ["g3", "3", "0.250 [0.225, 0.275]"]
    assert table.note == "and 2 more in metrics.json"


def test_words_about_objects_and_intervals():
    assert describe_objects(FIGURES) == (
        "threshold 0.4, holes filled, at least 7 pixels, touching objects stay one; tuned on val (1 image) for f1"
    )
    untuned = {"postprocessing": {"settings": {}, "tuning": None}}
    assert describe_objects(untuned).endswith("not tuned on validation images (--tune-postprocessing)")
    assert describe_objects({}) == ""
    assert describe_intervals(FIGURES) == "In brackets: 95 % intervals, bootstrap over groups, 500 resamples."
