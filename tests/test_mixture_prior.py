"""Mixtures of Gaussians in a latent space, and the calm prior made of one."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from calmvae.checkpoints import model_folder, open_model
from calmvae.cli import run_prior
from calmvae.common.errors import DataError, ModelError, OptionError
from calmvae.generate import sampling
from calmvae.latent import calm_prior, mixture_prior
from calmvae.latent.mixture_prior import Mixture
from calmvae.music import calmness
from tests.conftest import PIECES, run_calmvae


@pytest.fixture
def two() -> Mixture:
    """A quarter around (-5, 0), three quarters around (5, 0), of different widths."""
    roots = np.array([[[1.0, 0.0], [0.0, 2.0]], [[0.5, 0.0], [0.3, 0.4]]])
    return Mixture(np.array([0.25, 0.75]), np.array([[-5.0, 0.0], [5.0, 0.0]]), roots)


def test_density_by_hand():
    """One standard Gaussian in 2 dimensions: 1 / (2 pi) at its mean, exp(-1/2) of that one deviation away."""
    one = Mixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])
    found = one.log_likelihood(np.array([[0.0, 0.0], [1.0, 0.0]]))
    np.testing.assert_allclose(found, [-math.log(2 * math.pi), -math.log(2 * math.pi) - 0.5])
    # Half of each of two: the density between them is the sum of both halves.
    pair = Mixture(np.array([0.5, 0.5]), np.array([[-1.0, 0.0], [1.0, 0.0]]), np.stack([np.eye(2)] * 2))
    np.testing.assert_allclose(pair.log_likelihood(np.zeros((1, 2))), [-math.log(2 * math.pi) - 0.5])


def test_draws_have_its_shares_means_and_covariances(two):
    drawn = two.draw(np.random.default_rng(0), 20000)
    left = drawn[:, 0] < 0
    assert left.mean() == pytest.approx(0.25, abs=0.01)
    for part, k in ((left, 0), (~left, 1)):
        np.testing.assert_allclose(drawn[part].mean(axis=0), two.means[k], atol=0.1)
        np.testing.assert_allclose(np.cov(drawn[part].T), two.roots[k] @ two.roots[k].T, atol=0.15)


def test_a_path_stays_in_one_component(two):
    for seed in range(20):
        path = two.latents(np.random.default_rng(seed).standard_normal((50, two.size)))
        assert len(set(np.sign(path[:, 0]))) == 1


def test_fit_finds_two_and_prefers_what_held_out_latents_say(two):
    rng = np.random.default_rng(1)
    found = mixture_prior.fit(two.draw(rng, 3000), two.draw(rng, 1000))
    assert found.record["components"] >= 2 and sorted(found.shares)[-1] > 0.4
    tried = {(t["components"], t["shrinkage"]): t["held_out_nats"] for t in found.record["tried"]}
    assert found.record["held_out_nats"] == min(tried.values()) < tried[1, 0.0] - 0.5
    again = mixture_prior.fit(two.draw(np.random.default_rng(1), 3000), two.draw(np.random.default_rng(2), 1000))
    other = mixture_prior.fit(two.draw(np.random.default_rng(1), 3000), two.draw(np.random.default_rng(2), 1000))
    assert np.array_equal(again.roots, other.roots)


def test_few_latents_are_shrunk():
    """30 latents of 8 dimensions in two groups of one shape: the components' own covariances would be wild."""
    rng = np.random.default_rng(0)
    groups = [rng.normal(at, 1, (n, 8)) for at in (-4, 4) for n in (12, 200)]
    train, held_out = np.concatenate(groups[::2]), np.concatenate(groups[1::2])
    assert mixture_prior.fit(train, held_out, components=[2]).record["shrinkage"] >= 0.6


def test_written_and_read(two, tmp_path):
    two.record = {"name": "calm", "components": 2}
    mixture_prior.write(two, tmp_path / "calm.safetensors")
    back = mixture_prior.read(tmp_path / "calm.safetensors")
    np.testing.assert_allclose(back.roots, two.roots, rtol=1e-3)
    np.testing.assert_allclose(back.shares, two.shares)
    assert back.record == two.record
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match="no readable prior"):
        mixture_prior.read(tmp_path / "bad.safetensors")


@pytest.mark.parametrize(
    "name",
    [n for n in model_folder.embedded() if (model_folder.of_package("own_model") / n / "calm.safetensors").exists()],
)
def test_the_embedded_calm_prior_is_calmer(name):
    """Not by a hair, and its samples are music: over windows drawn from either prior."""
    model = open_model.load_model(name)
    prior, rng = calm_prior.load_prior(model), np.random.default_rng(3)
    n = 200 if model.spec.bars == 2 else 60
    drawn = prior.draw(rng, n), rng.standard_normal((n, model.spec.z_size))
    calm, standard = (calmness.of_windows(model.engine.decode(z, 0.5, 0)).mean() for z in drawn)
    assert calm > standard + 4
    pieces = [made.piece for made in sampling.sample(model, 2, bars=32, seed=1, prior=prior)]
    assert pieces == [made.piece for made in sampling.sample(model, 2, bars=32, seed=1, prior=prior)]
    assert all(piece.notes for piece in pieces) and pieces[0].notes != pieces[1].notes


def test_a_window_is_scored_as_it_is_played(tiny_model):
    tokens = np.zeros(32, np.uint8)
    tokens[[0, 8, 16, 24]] = [42, 44, 46, 42]
    values = calmness.of_tokens(tokens, qpm=60).values
    # Four notes of two beats in eight seconds.
    assert values["onset_rate"] == -1 and values["note_length"] == 1 and values["tempo"] == 60
    assert values["interval"] == pytest.approx(8 / 3)
    assert calmness.of_tokens(np.zeros(32, np.uint8)).calmness > 0


def test_command(tmp_path, tiny_model):
    assert run_calmvae("convert", *PIECES, "--eval-share", "0.4", "-o", tmp_path / "data").returncode == 0
    arguments = ("prior", tmp_path / "data", "--model", tiny_model, "--calmest", "1")
    done = run_calmvae(*arguments, "-o", tmp_path / "a")
    assert done.returncode == 0, done.stderr
    assert run_calmvae(*arguments, "-o", tmp_path / "b").returncode == 0
    written = [(tmp_path / x / "calm.safetensors").read_bytes() for x in "ab"]
    assert written[0] == written[1]
    assert f"Try it: calmvae sample --model {tiny_model} --prior {tmp_path / 'a'}" in done.stdout
    embedded = run_calmvae("prior", tmp_path / "data", "--calmest", "1", "-o", tmp_path / "a prior")
    assert f"Try it: calmvae sample --model calm-piano_2bar --prior '{tmp_path / 'a prior'}'" in embedded.stdout
    sampled = run_calmvae(
        "sample", "-n", "1", "--bars", "4", "--model", tiny_model, "--prior", tmp_path / "a", "-o", tmp_path / "s"
    )
    assert sampled.returncode == 0, sampled.stderr
    record = json.loads((tmp_path / "s" / "run.json").read_text())
    assert record["result"][0]["prior"]["name"] == "calm"
    refused = run_calmvae("sample", "--model", tiny_model, "--prior", "calm", "-o", tmp_path / "t")
    assert refused.returncode == 2 and "no calm prior at" in refused.stderr


def test_mistakes(tmp_path, tiny_model, tiny_model_16bar, two):
    from calmvae.cli.console import Console

    model = open_model.load_model(tiny_model)
    with pytest.raises(OptionError, match="--calmest is 0"):
        run_prior.prior(tmp_path, model, tmp_path / "x", 0, 10, 0, Console(True))
    with pytest.raises(DataError, match=r"holds no train-\*\.tfrecord"):
        run_prior.prior(tmp_path, model, tmp_path / "x", 0.5, 10, 0, Console(True))
    mixture_prior.write(two, tmp_path / "calm.safetensors")
    with pytest.raises(ModelError, match="has 2 dimensions, but calm-mel_2bar has 12"):
        calm_prior.load_prior(model, tmp_path)


def test_evaluate_compares_samples_of_either_prior_with_calm_windows():
    """With the embedded model: the calm prior's samples are calmer and more like calm music than the standard one's."""
    pieces = model_folder.of_package("resources") / "pieces"
    found = {}
    for prior in ("standard", "calm"):
        options = ("--calmest", "0.5", "--prior", prior, "--samples", "100", "--paths", "0", "--json")
        done = run_calmvae("evaluate", "calm-mel_2bar", "--data", pieces, *options)
        assert done.returncode == 0, done.stderr
        found[prior] = json.loads(done.stdout)
    calm, standard = found["calm"], found["standard"]
    assert calm["windows"] == standard["windows"]
    assert calm["calmness"]["calmness"] > standard["calmness"]["calmness"] + 5
    assert calm["samples"]["mean_overlap"] > standard["samples"]["mean_overlap"]
    assert calm["calmness"]["calmness_held_out"] == standard["calmness"]["calmness_held_out"]
    refused = run_calmvae("evaluate", "calm-mel_2bar", "--data", pieces, "--calmest", "1.5")
    assert refused.returncode == 2 and "--calmest is 1.5" in refused.stderr


def test_few_windows_get_gaussians_near_them_of_one_covariance():
    rng = np.random.default_rng(0)
    places = np.repeat([np.full(6, 3.0), np.full(6, -3.0)], 40, axis=0)
    mu, sigma = (places + rng.normal(0, 0.1, places.shape)).astype(np.float32), np.full(places.shape, 0.3, np.float32)
    found = mixture_prior.fit_few(mu, sigma, most=2)
    standard = mixture_prior.STANDARD
    assert np.sort(found.means[:, 0]) == pytest.approx([(1 - standard) * -3, (1 - standard) * 3], abs=0.1)
    assert found.shares == pytest.approx([0.5, 0.5]) and found.record["components"] == 2
    own = (1 - standard) * np.diag([0.1**2 + 0.3**2] * 6) + standard * np.eye(6) + standard * (1 - standard) * 9
    assert found.roots[0] @ found.roots[0].T == pytest.approx(own, abs=0.06)


@pytest.mark.parametrize("mu", [np.ones((1, 5)), np.zeros((7, 5)), np.eye(5)])
def test_one_window_and_windows_all_alike_are_enough(mu):
    found = mixture_prior.fit_few(mu, np.full(mu.shape, 0.5), 1)
    assert len(found.shares) <= len(mu) and np.isfinite(found.draw(np.random.default_rng(0), 50)).all()
    assert np.array_equal(found.means, mixture_prior.fit_few(mu, np.full(mu.shape, 0.5), 1).means)
