"""`flexdan data inspect` as a user meets it."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from flexdan.cli.main import main
from flexdan.data import image_size, write_image


@pytest.fixture
def manifest(tmp_path) -> Path:
    """Return a manifest of four images, two of them annotated, with one patient in two splits."""
    rng = np.random.default_rng(0)
    for name in "abcd":
        write_image(tmp_path / f"{name}.png", np.kron(rng.integers(0, 256, (8, 8)), np.ones((6, 6))).astype(np.uint8))
    mask = np.zeros((48, 48), np.uint8)
    mask[:24, :12] = 1
    write_image(tmp_path / "mask.png", mask)
    (tmp_path / "m.csv").write_text(
        "image,mask,mask_values,split,annotated,group\n"
        "a.png,mask.png,binary,train,yes,p1\nb.png,gone.png,binary,train,no,p2\n"
        "c.png,mask.png,binary,val,yes,p1\nd.png,,,,no,\n"
    )
    return tmp_path / "m.csv"


def test_a_table_and_warnings(manifest, capsys):
    assert main(["data", "inspect", str(manifest)]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = {cells[0]: cells[1:] for line in lines if len(cells := [c.strip() for c in line.strip("│").split("│")]) > 1}
    assert table["images"] == ["2", "1", "1"]
    assert table["annotated"] == ["1", "1", "0"]
    assert table["foreground"] == ["12.5%", "12.5%", "-"]
    assert table["objects per image"] == ["1.0", "1.0", "-"]
    assert table["mask values"] == ["0 1", "0 1", "-"]
    assert lines[-2] == "warning: groups in two splits, so that results flatter the network: 1"
    assert lines[-1] == "  group p1 stands in 2 splits (train, val; 2 images)"


def test_findings_end_in_code_1_only_when_strict(manifest, tmp_path, capsys):
    assert main(["data", "inspect", str(manifest), "--strict"]) == 1
    (tmp_path / "sound.csv").write_text(manifest.read_text().replace("val,yes,p1", "val,yes,p3"))
    assert main(["data", "inspect", str(tmp_path / "sound.csv"), "--strict"]) == 0
    assert "checks: no changed files, no wrong masks" in capsys.readouterr().out


def test_json_for_programs(manifest, capsys):
    assert main(["data", "inspect", str(manifest), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [split["split"] for split in content["splits"]] == ["train", "val", ""]
    assert content["splits"][0]["foreground"] == 0.125
    assert content["splits"][2]["foreground"] is None
    assert [(one["kind"], one["images"]) for one in content["findings"]] == [("group", ["a", "c"])]


def test_a_contact_sheet(manifest, tmp_path, capsys):
    sheet = tmp_path / "out" / "sheet.png"
    assert main(["data", "inspect", str(manifest), "-o", str(sheet)]) == 0
    assert image_size(sheet)[2] == 3
    assert f"contact sheet: {sheet}" in capsys.readouterr().out
    assert main(["data", "inspect", str(manifest), "-o", str(sheet)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["data", "inspect", str(manifest), "-o", str(sheet), "--force", "--images", "1"]) == 0
    assert image_size(sheet)[1] < 400


def test_missing_files_are_findings(manifest, tmp_path, capsys):
    text = "image,split,height,width,channels,sha256\na.png,train,48,48,1,00\ngone.png,train,4,4,1,\n"
    (tmp_path / "old.csv").write_text(text)
    sheet = str(tmp_path / "sheet.png")
    assert main(["data", "inspect", str(tmp_path / "old.csv"), "--strict", "-o", sheet]) == 1
    out = capsys.readouterr().out
    assert "files that are missing, broken or changed: 2" in out
    assert "gone.png is not there" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--similarity", "1.5"], "--similarity is 1.5: it must be above 0 and at most 1 (default: 0.9)"),
        (["--images", "0"], "--images is 0"),
        (["-o", "sheet.pdf"], "let the name end in .png or .jpg"),
    ],
)
def test_mistakes(manifest, capsys, options, message):
    assert main(["data", "inspect", str(manifest), *options]) == 2
    assert message in capsys.readouterr().err


def test_an_empty_manifest(tmp_path, capsys):
    (tmp_path / "m.csv").write_text("image,split\n")
    assert main(["data", "inspect", str(tmp_path / "m.csv")]) == 2
    assert "lists no image" in capsys.readouterr().err


def test_the_patients_of_the_real_glas_are_a_warning(tmp_path, capsys):
    if not os.environ.get("GLAS_DIR"):
        pytest.skip("GLAS_DIR is not set: it names a folder of GlaS images")
    manifest = str(tmp_path / "glas.csv")
    assert main(["data", "import", os.environ["GLAS_DIR"], "-o", manifest]) == 0
    capsys.readouterr()
    assert main(["data", "inspect", manifest, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert {one["kind"] for one in content["findings"]} == {"group"}
    assert len(content["findings"]) == 8
    train = content["splits"][0]
    assert (train["images"], train["groups"], train["heights"], train["widths"]) == (
        85,
        15,
        [430, 522, 522],
        [567, 775, 775],
    )
    assert 0.45 < train["foreground"] < 0.55
