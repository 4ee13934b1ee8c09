"""``model.fit`` of Keras 3 on TensorFlow, with the same layers, for the training benchmark.

Runs in an environment of its own, with keras and tensorflow-cpu. TensorFlow pads a transposed convolution of
stride 2 at the other end than PyTorch: on mirrored pictures and with mirrored kernels both are the same
function, and so they are mirrored here.
"""

from __future__ import annotations

import os
import time
from typing import Any

os.environ |= {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
    "KERAS_BACKEND": "tensorflow",
}

import keras
import numpy as np
import tensorflow as tf
from answering import Measure, answer, between
from keras import layers, ops


class Latent(layers.Layer):
    """Draws the latent from its mean and log-variance, and adds their KL divergence to the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = self.add_weight(shape=(), initializer="ones", trainable=False, name="noise")
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, inputs: Any) -> Any:
        mean, log_variance = inputs[0], ops.clip(inputs[1], -10, 10)
        mean32, log_variance32 = ops.cast(mean, "float32"), ops.cast(log_variance, "float32")
        terms = 1 + log_variance32 - ops.square(mean32) - ops.exp(log_variance32)
        self.add_loss(-0.5 * ops.mean(ops.sum(terms, axis=1)))
        drawn = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=self.seeds)
        return mean + ops.cast(self.noise, mean.dtype) * ops.exp(0.5 * log_variance) * drawn


def build(model: str, size: int, channels: int) -> keras.Model:
    """Return CAE or CVAE with kernels 16-32-64; the CAE does not pool its last convolution."""
    same = {"padding": "same", "activation": "relu"}
    images = made = keras.Input((size, size, channels))
    pooled = [True, True, model == "cvae"]
    for kernels, pool in zip([16, 32, 64], pooled, strict=True):
        made = layers.Conv2D(kernels, 3, **same)(made)
        if pool:
            made = layers.MaxPooling2D()(made)
    if model == "cvae":
        flat = layers.Flatten()(made)
        made = Latent()([layers.Dense(32)(flat), layers.Dense(32)(flat)])
        made = layers.Dense(flat.shape[1], activation="relu")(made)
        made = layers.Reshape((size // 8, size // 8, 64))(made)
    for kernels, pool in zip([32, 16], pooled[:0:-1], strict=True):
        made = layers.Conv2DTranspose(kernels, 3, 2 if pool else 1, **same)(made)
    last = {"padding": "same", "activation": "sigmoid", "dtype": "float32"}
    return keras.Model(images, layers.Conv2DTranspose(channels, 3, 2, **last)(made))


def rmse(images: Any, made: Any) -> Any:
    """Return the root of the mean squared error of each picture."""
    return ops.sqrt(ops.mean(ops.square(images - made), axis=(1, 2, 3)) + 1e-8)


def squared_error(images: Any, made: Any) -> Any:
    """Return the squared error of each picture, summed over pixels and channels."""
    return ops.sum(ops.square(images - made), axis=(1, 2, 3))


class Moments(keras.callbacks.Callback):
    """Notes when each step ended."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.moments: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.moments.append(time.perf_counter())


def take(model: keras.Model, file: str) -> None:
    """Take PyTorch's weights, mirrored: kernels (out, in, h, w) to (h, w, in, out)."""
    weights = np.load(file)
    arrays = iter([weights[name] for name in weights.files])
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.Conv2DTranspose):
            kernel = next(arrays)[:, :, ::-1, ::-1].transpose(2, 3, 1, 0)
        elif isinstance(layer, layers.Dense):
            kernel = next(arrays)
            side = model.get_layer(index=0).output.shape[1] // 8
            if kernel.shape[0] > kernel.shape[1]:  # to the map
                kernel = _mirrored(kernel, side)
                layer.set_weights([kernel.T, _mirrored(next(arrays), side)])
                continue
            kernel = _mirrored(kernel.T, side)
        else:
            continue
        layer.set_weights([kernel, next(arrays)])


def _mirrored(rows: np.ndarray, side: int) -> np.ndarray:
    """Bring rows from PyTorch's order (c, h, w) to that of Keras, with the map mirrored."""
    maps = rows.reshape(64, side, side, -1)[:, ::-1, ::-1].transpose(1, 2, 0, 3)
    return maps.reshape(rows.shape)


def prepare(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Measure]]:
    """Build the model, compare, and find whether XLA's just-in-time compiler is the faster one."""
    tf.config.threading.set_intra_op_parallelism_threads(settings["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(settings["threads"])
    if settings["precision"] == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    size = settings["batch_size"]
    images = np.load(settings["pictures"])[:, ::-1, ::-1].astype("float32") / 255
    model = build(settings["model"], images.shape[1], images.shape[3])
    take(model, settings["weights"])
    loss = rmse if settings["model"] == "cae" else squared_error
    moments = Moments()

    def compiled(jit_compile: Any) -> None:
        model.compile(keras.optimizers.Adam(1e-3, epsilon=1e-8), loss, jit_compile=jit_compile)

    def fit(count: int) -> float:
        started = time.perf_counter()
        part = images[:count]
        model.fit(part, part, batch_size=size, epochs=1, verbose=0, callbacks=[moments])
        return time.perf_counter() - started

    latents = [layer for layer in model.layers if isinstance(layer, Latent)]
    for latent in latents:  # without the latent's noise, to compare
        latent.noise.assign(0)
    compiled("auto")
    first = images[:size]
    losses = []
    for _ in range(3):
        model.reset_metrics()  # else it is the mean of all steps so far
        losses.append(float(model.train_on_batch(first, first)))
    for latent in latents:
        latent.noise.assign(1)

    trials = {}
    for jit_compile in (False, True):
        compiled(jit_compile)
        try:
            fit(2 * size)
            trials[jit_compile] = fit(min(4 * size, len(images)))
        except (tf.errors.OpError, ValueError):  # what the just-in-time compiler cannot do
            continue
    best = min(trials, key=trials.__getitem__)
    compiled(best)
    fit(2 * size)
    about = {
        "losses": losses,
        "note": f"jit_compile={best}",
        "versions": f"Keras {keras.__version__}, TensorFlow {tf.__version__}",
    }

    def go() -> dict[str, float]:
        seconds = fit(len(images))
        return between(moments.moments, size) | {"whole_ms": 1000 * seconds / len(images)}

    return about, {"go": go}


if __name__ == "__main__":
    answer(prepare)
