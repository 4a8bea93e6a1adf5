"""The loss of a MusicVAE for one-hot melodies and its gradient, with numpy alone.

The mathematics of Magenta's training graph (`MusicVAE.train` over `BidirectionalLstmEncoder`, by itself or under
`HierarchicalLstmEncoder`, and `CategoricalLstmDecoder`, by itself or under `HierarchicalLstmDecoder` without
autoregression), arranged for a CPU:

* a one-hot product is a look-up of rows; what the latent vector adds to the decoder's input is computed once a window;
* the gradients of all kernels are one product over all steps;
* the segments of a hierarchical encoder are read side by side, and those of a hierarchical decoder decoded side by
  side, since their first inputs are the true tokens;
* the encoder's two directions, and halves of the batch in the decoder, go to different threads, each with a
  single-threaded BLAS: threads inside a product of these sizes cost more than they give.
"""

from __future__ import annotations

import functools

import numpy as np

from calmvae.common import thread_pool
from calmvae.model.model_spec import ModelSpec
from calmvae.training.decoder_gradient import Arrays, Batch, Decoder
from calmvae.training.encoder_gradient import Encoder

_POSTERIOR = {f"encoder/{part}/{array}" for part in ("mu", "sigma") for array in ("kernel", "bias")}


class Network:
    """Loss and gradient for batches of a fixed size.

    Args:
      spec: a config without dropout and residual connections.
      weights: Magenta's variable names to arrays, which are read at every call.
      batch_size: number of windows.
      threads: to compute with.
    """

    def __init__(self, spec: ModelSpec, weights: Arrays, batch_size: int, threads: thread_pool.Threads) -> None:
        self.spec, self.weights, self.threads = spec, weights, threads
        self.encoder = Encoder(spec, batch_size, threads)
        self.decoders = [Decoder(spec, weights, part) for part in thread_pool.shards(batch_size, threads.count)]
        # Each part of the batch has its own gradients, added up at the end. The first part's are the caller's.
        self.others = [
            {name: np.zeros_like(w) for name, w in weights.items() if k < self.encoder.shards or "decoder" in name}
            for k in range(1, len(self.decoders))
        ]

    def loss_and_gradient(self, batch: Batch, beta: float, gradient: Arrays) -> dict[str, np.ndarray]:
        """Goes forward and backward.

        Args:
          batch: of the batch size.
          beta: weight of the KL divergence above the free bits.
          gradient: arrays of the weights' names and shapes, overwritten with the gradient of the mean loss.

        Returns:
          "losses/r_loss", "losses/kl_loss" and "losses/kl_bits", `[n]` each, as Magenta calls them.
        """
        n, gradients = len(batch.tokens), [gradient, *self.others]
        posterior = Posterior(self.weights, self.encoder.forward(self.weights, batch.tokens), batch.noise)
        self.threads.run([functools.partial(d.forward, posterior.z, batch) for d in self.decoders])
        self.threads.run(
            [functools.partial(d.backward, g, 1 / n) for d, g in zip(self.decoders, gradients, strict=True)]
        )
        dz = np.concatenate([d.dz for d in self.decoders])
        d_top, losses = posterior.backward(dz, self.spec.hparams["free_bits"], beta, gradient)
        self.encoder.backward(self.weights, d_top, gradients)
        for other in self.others:
            for name in other.keys() - _POSTERIOR:
                gradient[name] += other[name]
        return {"losses/r_loss": np.concatenate([d.r_loss for d in self.decoders]), **losses}


class Posterior:
    """`mu`, `sigma`, a latent vector of each window and the divergence from the prior."""

    def __init__(self, weights: Arrays, top: np.ndarray, noise: np.ndarray) -> None:
        self.weights, self.top, self.noise = weights, top, noise
        self.mu = top @ weights["encoder/mu/kernel"] + weights["encoder/mu/bias"]
        self.raw = top @ weights["encoder/sigma/kernel"] + weights["encoder/sigma/bias"]
        self.sigma = np.logaddexp(self.raw, np.float32(0))
        self.z = self.mu + self.sigma * noise

    def kl(self) -> np.ndarray:
        """KL divergence of each window's posterior from the standard normal, in nats, `[n]`."""
        return 0.5 * (self.sigma**2 + self.mu**2 - 1 - 2 * np.log(self.sigma)).sum(axis=1)

    def backward(
        self, dz: np.ndarray, free_bits: float, beta: float, gradient: Arrays
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """From the gradient of z `[n, z_size]`, and the divergence priced with beta, to that of the encoder's output.

        Returns:
          it, and "losses/kl_loss" (above the free bits, in nats) and "losses/kl_bits", `[n]` each.
        """
        kl, free = self.kl(), free_bits * np.log(2)
        dkl = np.where(kl > free, beta / len(dz), 0).astype(np.float32)
        d_mu = dz + dkl[:, None] * self.mu
        d_sigma = dz * self.noise + dkl[:, None] * (self.sigma - 1 / self.sigma)
        # The derivative of softplus is the sigmoid: 1 - exp(-softplus).
        d_raw = d_sigma * -np.expm1(-self.sigma)
        d_top = np.zeros_like(self.top)
        for name, d in (("mu", d_mu), ("sigma", d_raw)):
            np.matmul(self.top.T, d, out=gradient[f"encoder/{name}/kernel"])
            np.sum(d, axis=0, out=gradient[f"encoder/{name}/bias"])
            d_top += d @ self.weights[f"encoder/{name}/kernel"].T
        return d_top, {"losses/kl_loss": np.maximum(kl - free, 0), "losses/kl_bits": kl / np.log(2)}
