import numpy as np
import pytest

from flexdan.metrics import interval, resample


class TestResample:
    def test_draws_as_many_images_as_there_are(self):
        weights = resample(7, 100, seed=3)
        assert weights.shape == (100, 7)
        assert (weights.sum(1) == 7).all()
        assert len(np.unique(weights, axis=0)) > 90

    def test_the_seed_says_all(self):
        assert (resample(5, 20, 1) == resample(5, 20, 1)).all()
        assert (resample(5, 20, 1) != resample(5, 20, 2)).any()

    def test_each_image_is_drawn_once_on_average(self):
        assert resample(4, 20_000).mean(0) == pytest.approx(np.ones(4), abs=0.03)

    def test_groups_are_drawn_whole_and_images_without_one_alone(self):
        weights = resample(5, 500, groups=["a", "b", "a", "", ""])
        assert (weights[:, 0] == weights[:, 2]).all()
        assert (weights[:, 3] != weights[:, 4]).any()
        assert set((weights[:, 0] + weights[:, 1] + weights[:, 3] + weights[:, 4]).tolist()) == {4}


class TestInterval:
    def test_leaves_out_both_ends_alike(self):
        assert interval(np.arange(1001) / 1000) == pytest.approx((0.025, 0.975))
        assert interval(np.arange(1001) / 1000, level=0.5) == pytest.approx((0.25, 0.75))

    def test_covers_the_mean_of_the_population_about_as_often_as_it_says(self):
        random = np.random.default_rng(0)
        covered = 0
        for seed in range(200):
            sample = random.normal(3, 1, 40)
            low, high = interval(resample(40, 400, seed) @ sample / 40)
            covered += low <= 3 <= high
        assert 0.88 <= covered / 200 <= 0.98

    def test_is_nan_where_a_figure_is(self):
        assert np.isnan(interval(np.array([0.0, np.nan]))).all()
