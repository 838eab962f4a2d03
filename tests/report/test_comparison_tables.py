"""What is written, to the letter."""

import csv
import io

import pytest

from flexdan.cli.evaluated import read_contestants
from flexdan.config import UserError
from flexdan.report.comparison_figure import comparison_figure
from flexdan.report.comparison_tables import comparison_csv, differences_table, figures_table, metric_text, parts_table
from flexdan.report.configurations import find_baseline, group_runs
from flexdan.report.contest import DEFAULT, choose_metrics, compare_configurations
from flexdan.report.table_formats import latex, markdown
from flexdan.report.tables import Table

TABLE = Table(title="a & b", header=["what", "x_1"], rows=[["50 % | {a}", "-0.5 ± 0.1"], ["b\\c ↓", "1e-05"]], note="n")


def compare(folder, metrics=(), **options):
    contestants = read_contestants([folder], "test", "best", evaluate=False)
    found = group_runs(contestants)
    chosen = choose_metrics(contestants[0].scores, metrics)
    return compare_configurations(found, find_baseline(found), chosen, resamples=200, **options)


@pytest.fixture
def runs(tmp_path, measured_run):
    """Three seeds of two configurations, one of which finds more."""
    for seed in (0, 1, 2):
        measured_run(tmp_path / f"supervised{seed}", seed=seed, quality=0.7)
        settings = {"strategy": "dan", "training.batch_size": 3}
        measured_run(tmp_path / f"dan{seed}", seed=seed, quality=0.9, settings=settings)
    return tmp_path


def test_markdown_of_a_table():
    assert markdown(TABLE) == (
        "a & b\n\n| what | x_1 |\n| --- | --- |\n| 50 % / {a} | -0.5 ± 0.1 |\n| b\\c ↓ | 1e-05 |\n\nn"
    )


def test_latex_of_a_table():
    assert latex(TABLE).splitlines() == [
        "% a & b",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"what & x\_1 \\",
        r"\midrule",
        r"50 \% \textbar{} \{a\} & $-$0.5 $\pm$ 0.1 \\",
        r"b\textbackslash{}c $\downarrow$ & 1e-05 \\",
        r"\bottomrule",
        r"\end{tabular}",
        "% n",
    ]


def test_figures_of_configurations_are_named_pooled_or_mean_and_equal_those_of_the_scores(runs, made_up):
    comparison = compare(runs, ["full_resolution.dice", "object_hausdorff"])
    table = figures_table(comparison, "pooled")
    assert table.title == "test: 8 images, pooled over all images"
    assert list(table.header) == ["configuration", "seeds", "Dice, full resolution", "object Hausdorff ↓"]
    assert [row[:2] for row in table.rows] == [["dan", "3"], ["supervised (baseline)", "3"]]
    values = [made_up(seed, 0.9).pooled("full_resolution")["dice"] for seed in (0, 1, 2)]
    mean = sum(values) / 3
    deviation = (sum((value - mean) ** 2 for value in values) / 2) ** 0.5
    assert table.rows[0][2] == f"{mean:.4f} ± {deviation:.4f}"
    means = [made_up(seed, 0.9).image_mean("full_resolution")["dice"] for seed in (0, 1, 2)]
    other = figures_table(comparison, "image_mean")
    assert other.title == "test: 8 images, mean over images"
    assert other.rows[0][2].startswith(f"{sum(means) / 3:.4f} ± ")


def test_differences_and_parts_stand_in_tables(runs):
    comparison = compare(runs, ["full_resolution.dice"], by="grade")
    table = differences_table(comparison, "pooled")
    assert table.title == "minus supervised, pooled over all images"
    (row,) = table.rows
    assert row[:3] == ["dan", "Dice, full resolution", "3"]
    assert row[-2:] == ["8/0/0", "better"]
    assert all(cell.startswith("[+0.") for cell in row[4:7])
    parts = parts_table(comparison, "pooled", "grade")
    assert [row[1:3] for row in parts.rows] == [["benign", "4"], ["malignant", "4"]]
    alone = compare(runs, ["full_resolution.dice"], by="group")
    assert [part.name for part in alone.parts] == ["patient0", "patient1", "patient2", "patient3"]


def test_csv_has_a_row_for_each_configuration_metric_and_way_with_all_digits(runs):
    comparison = compare(runs, ["full_resolution.dice", "f1"], by="grade")
    rows = list(csv.DictReader(io.StringIO(comparison_csv(comparison, ["pooled", "image_mean"]))))
    assert len(rows) == 2 * 2 * 2 + 2 * 2 * 2  # configurations, then grades, by metric and way
    first = rows[0]
    assert {name: first[name] for name in ("configuration", "level", "metric", "over", "baseline", "fair")} == {
        "configuration": "dan",
        "level": "full_resolution",
        "metric": "dice",
        "over": "pooled",
        "baseline": "supervised",
        "fair": "yes",
    }
    found = comparison.find("dan", "full_resolution", "dice", "pooled")
    assert float(first["difference"]) == pytest.approx(found.mean, rel=1e-9)
    assert float(first["images_low"]) == pytest.approx(found.over_images[0], rel=1e-9)
    assert rows[4]["configuration"] == "supervised"
    assert rows[4]["difference"] == rows[4]["baseline"] == ""
    assert [row["part"] for row in rows[8:]] == ["benign"] * 4 + ["malignant"] * 4


def test_one_seed_has_a_dash_in_place_of_intervals_over_seeds(tmp_path, measured_run):
    measured_run(tmp_path / "a")
    measured_run(tmp_path / "b", settings={"optimizer.lr": 0.5})
    table = differences_table(compare(tmp_path, ["f1"]), "pooled")
    assert table.rows[0][4] == table.rows[0][6] == "-"
    assert table.rows[0][-1] == "no difference shown (1 seed)"
    assert "±" not in figures_table(compare(tmp_path, ["f1"]), "pooled").rows[0][2]


def test_a_metric_without_a_pooled_figure_has_dashes(runs):
    comparison = compare(runs, ["hd95"])
    assert figures_table(comparison, "pooled").rows[0][2] == "-"
    assert differences_table(comparison, "pooled").rows[0][3:] == ["-", "-", "-", "-", "7/1/0", "no figure"]
    assert "±" in figures_table(comparison, "image_mean").rows[0][2]
    row = comparison_csv(comparison, ["pooled"]).splitlines()[1]
    assert "nan" not in row
    comparison_figure(comparison, "pooled")


def test_without_a_common_seed_there_is_no_difference(tmp_path, measured_run):
    measured_run(tmp_path / "a")
    measured_run(tmp_path / "b", seed=1, settings={"optimizer.lr": 0.5})
    assert compare(tmp_path).differences == {}


def test_metrics_are_found_by_name_with_or_without_level(made_up):
    scores = made_up(0, 0.8)
    assert choose_metrics(scores) == list(DEFAULT)
    assert choose_metrics(scores, ["dice", "objects.dice", "dice"]) == [
        ("full_resolution", "dice"),
        ("objects", "dice"),
    ]
    everything = choose_metrics(scores, ["all"])
    assert ("objects", "hd95") in everything
    assert ("full_resolution", "recall") in everything
    with pytest.raises(UserError, match="--metric is 'dise': it must be all or one of accuracy"):
        choose_metrics(scores, ["dise"])


def test_every_metric_has_a_name_of_its_own(made_up):
    names = [metric_text(*one) for one in choose_metrics(made_up(0, 0.8), ["all"])]
    assert len(set(names)) == len(names)
    assert metric_text("calibration", "ece") == "ECE ↓"
    assert metric_text("objects", "ap50") == "AP50"
    assert metric_text("network_size", "iou") == "IoU, network's size"


def test_groups_and_grades_that_are_not_there_are_named(tmp_path, measured_run, made_up):
    scores = made_up(0, 0.8, grades=("",))
    bare = type(scores)(scores.images, ("",) * 8, scores.grades, scores.counts)
    measured_run(tmp_path / "a", scores=bare)
    with pytest.raises(UserError, match="--by is grade, but no image that was measured has a grade"):
        compare(tmp_path, by="grade")
    with pytest.raises(UserError, match="--clusters resamples groups, but"):
        compare(tmp_path, clusters=True)


def test_whole_groups_are_resampled_where_that_is_asked_for(runs):
    single, whole = (compare(runs, ["f1"], clusters=clusters) for clusters in (False, True))
    assert single.groups == whole.groups == 4
    ends = [one.find("dan", "objects", "f1", "image_mean").over_images for one in (single, whole)]
    assert ends[0] != ends[1] or ends[0] == (0, 0)


def test_the_figure_has_a_row_for_each_metric_and_configuration(runs):
    drawing, height = comparison_figure(compare(runs, ["full_resolution.dice", "object_hausdorff"]), "pooled")
    assert drawing.count('class="dot"') == 2
    assert "<title>dan: +0." in drawing
    assert "object Hausdorff ↓" in drawing
    assert f"0 0 720 {height}" in drawing
