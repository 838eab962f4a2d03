import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from flexdan.cli.main import main
from flexdan.cli.predict import unique_names
from flexdan.data import image_size, read_image
from flexdan.engine.checkpoint import load_run
from flexdan.inference import predict_image


def predict(run, *arguments):
    return main(["predict", str(run), *map(str, arguments), "--device", "cpu"])


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 3), (5, 2)])
def test_what_is_saved_is_what_the_network_says(make_run, picture, tmp_path, channels, classes):
    run = make_run(channels, classes)
    suffix = ".png" if channels in (1, 3) else ".tif"
    images = [
        picture(tmp_path / "in" / f"{name}{suffix}", size, channels)
        for name, size in (("small", (13, 9)), ("like", (48, 64)), ("large", (101, 333)))
    ]
    out = tmp_path / "out"
    assert predict(run, tmp_path / "in", "-o", out, "--save", "mask", "probabilities", "outlines") == 0
    loaded = load_run(run)
    for image in images:
        pixels = read_image(image, channels)
        expected = predict_image(
            loaded.network, pixels, image_size=(24, 32), native_size=loaded.native_size, mean=0.5, std=0.25
        )
        probabilities = tifffile.imread(out / "probabilities" / f"{image.stem}.tif")
        assert probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities, expected[1] if classes == 2 else expected, atol=1e-6)
        found = np.stack([1 - probabilities, probabilities]) if classes == 2 else probabilities
        mask = np.asarray(Image.open(out / "mask" / f"{image.stem}.png"))
        np.testing.assert_array_equal(mask, found.argmax(0) * (255 if classes == 2 else 1))
        outlines = np.asarray(Image.open(out / "outlines" / f"{image.stem}.png"))
        assert outlines.shape == (*pixels.shape[:2], 3)


def test_index_masks_on_request(make_run, picture, tmp_path, capsys):
    image = picture(tmp_path / "a.png", (48, 64))
    assert predict(make_run(), image, "-o", tmp_path / "out", "--save", "mask", "--mask-format", "index") == 0
    assert files(tmp_path / "out") == ["mask/a.png"]
    assert set(np.unique(np.asarray(Image.open(tmp_path / "out/mask/a.png")))) <= {0, 1}
    three = make_run(classes=3, name="three")
    assert predict(three, image, "-o", tmp_path / "b", "--mask-format", "binary") == 2
    assert "has 3 classes" in capsys.readouterr().err


def test_broken_images_are_reported_and_the_rest_goes_on(make_run, picture, tmp_path, capsys):
    folder = tmp_path / "in"
    picture(folder / "a.png", (20, 30))
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:200])
    picture(folder / "c.tif", (20, 30), channels=5)
    picture(folder / "d.png", (20, 30))
    (folder / "empty.jpg").touch()
    (folder / "notes.txt").write_text("no image")
    assert predict(make_run(), folder, "-o", tmp_path / "out", "--save", "mask") == 1
    assert files(tmp_path / "out") == ["mask/a.png", "mask/d.png"]
    captured = capsys.readouterr()
    assert "c.tif has 5 channels, but 3 are needed" in captured.err
    assert "3 of 5 images failed" in captured.err
    assert "2 images segmented" in captured.out


def test_existing_results_are_kept_skipped_or_overwritten(make_run, picture, tmp_path, capsys):
    run, out = make_run(), tmp_path / "out"
    picture(tmp_path / "in/a.png", (20, 30))
    assert predict(run, tmp_path / "in", "-o", out) == 0
    first = out / "mask/a.png"
    os.utime(first, (1, 1))
    picture(tmp_path / "in/b.png", (20, 30))
    assert predict(run, tmp_path / "in", "-o", out) == 2
    assert "2 results are there already" in capsys.readouterr().err
    assert predict(run, tmp_path / "in", "-o", out, "--skip-existing") == 0
    assert "1 image segmented" in capsys.readouterr().out
    assert first.stat().st_mtime == 1
    assert (out / "outlines/b.png").is_file()
    assert predict(run, tmp_path / "in", "-o", out, "--force") == 0
    assert first.stat().st_mtime > 1
    assert predict(run, tmp_path / "in", "-o", out, "--force", "--skip-existing") == 2


def test_folders_are_searched_at_the_top_unless_recursive(make_run, picture, tmp_path, capsys):
    run, folder = make_run(), tmp_path / "in"
    picture(folder / "sub/a.png", (20, 30))
    assert predict(run, folder, "-o", tmp_path / "out", "--save", "mask") == 2
    assert "--recursive" in capsys.readouterr().err
    picture(folder / "a.png", (20, 30))
    picture(folder / "sub/.hidden.png", (20, 30))
    assert predict(run, folder, "-o", folder / "out", "--save", "mask", "--recursive") == 0
    assert files(folder / "out") == ["mask/a.png", "mask/sub/a.png"]
    assert predict(run, folder, "-o", folder / "out", "--save", "mask", "--recursive", "--force") == 0
    assert files(folder / "out") == ["mask/a.png", "mask/sub/a.png"]  # its own results are no input


def test_manifest_and_split_without_any_mask(make_run, make_manifest, tmp_path, capsys):
    manifest = make_manifest()
    for mask in (tmp_path / "set").glob("mask*"):
        mask.unlink()
    out = tmp_path / "out"
    assert predict(make_run(), manifest, "--split", "val", "-o", out, "--save", "mask") == 0
    assert files(out) == [f"mask/image{number}.png" for number in range(4)]
    assert predict(make_run(), manifest, "--split", "test", "-o", out) == 2
    assert "its splits are val" in capsys.readouterr().err
    assert predict(make_run(), tmp_path / "set", "--split", "val", "-o", out) == 2
    assert "is a manifest" in capsys.readouterr().err


def test_images_of_one_name_do_not_overwrite_each_other(make_run, picture, tmp_path):
    for path in ("x/a.png", "y/a.png", "y/a.bmp", "y/b.png", "y/c.png", "y/C.bmp"):
        picture(tmp_path / path, (20, 30))
    out = tmp_path / "out"
    again = tmp_path / "y/b.png"
    assert predict(make_run(), tmp_path / "x", tmp_path / "y", again, "-o", out, "--save", "mask") == 0
    names = ["C_bmp", "a_bmp", "b", "c_png", "x_a_png", "y_a_png"]
    assert files(out) == [f"mask/{name}.png" for name in names]


def test_names_are_unique_however_alike_the_images():
    images = [Path(path) for path in ("1/s/a.png", "2/s/a.png", "3/s/A.PNG", "s_a_png.png", "4/s_a_png_2.tif", "b.png")]
    named = unique_names([(image, Path(image.stem)) for image in images])
    assert [image for image, _ in named] == images
    assert len({place.as_posix().casefold() for _, place in named}) == len(images)
    assert named[-1][1] == Path("b")


def test_tta_and_scale(make_run, picture, tmp_path):
    run, image = make_run(), picture(tmp_path / "a.png", (48, 64))
    ways = [["--tta"], ["--tta-turns"], ["--scale", "1"], ["--scale", "1", "--overlap", "0.5", "--tta"]]
    for number, options in enumerate(ways):
        assert predict(run, image, "-o", tmp_path / str(number), "--save", "mask", *options) == 0
        assert image_size(tmp_path / str(number) / "mask/a.png") == (48, 64, 1)


def test_missing_path_stops_before_anything_is_done(make_run, picture, tmp_path, capsys):
    image = picture(tmp_path / "a.png", (20, 30))
    assert predict(make_run(), image, tmp_path / "gone.png", "-o", tmp_path / "out") == 2
    assert "gone.png does not exist" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["file", "file/below", "taken", "x" * 300])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_an_output_that_cannot_be_a_folder_stops_before_any_work(
    make_run, picture, tmp_path, capsys, monkeypatch, place, force
):
    monkeypatch.setattr("flexdan.cli.predict.find_images", lambda _: pytest.fail("too late"))
    (tmp_path / "file").write_text("mine")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/mask").touch()
    image, before = picture(tmp_path / "a.png", (20, 30)), files(tmp_path)
    assert predict("run", image, "-o", tmp_path / place, *force) == 2
    assert f"cannot write into the folder {tmp_path / place}" in capsys.readouterr().err
    assert files(tmp_path) == before


def test_the_check_of_the_output_leaves_no_folder(make_run, picture, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    for place in ("new/sub", "there"):
        assert predict("no run", picture(tmp_path / "a.png", (20, 30)), "-o", tmp_path / place) == 2
        assert "no run folder" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert list((tmp_path / "there").iterdir()) == []


def test_weights_of_a_checkpoint_file_cannot_be_chosen(make_run, picture, tmp_path, capsys):
    checkpoint, image = make_run() / "best.ckpt", picture(tmp_path / "a.png", (20, 30))
    assert predict(checkpoint, image, "-o", tmp_path / "out", "--weights", "last") == 2
    assert "best.ckpt is a checkpoint: leave --weights last out" in capsys.readouterr().err
    assert predict(checkpoint, image, "-o", tmp_path / "out") == 0


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_help_imports_no_torch(command):
    code = f"import sys; from flexdan.cli.main import main; main([{command!r}, '--help'])"
    start = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", f"import atexit, sys; atexit.register(lambda: print('torch' in sys.modules))\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert time.monotonic() - start < 5
    assert ran.stdout.splitlines()[-1] == "False"
    assert "examples:" in ran.stdout
