import pytest

from recon_anomaly.trainings import circumstances, training

RECORD = {
    "model": "vae",
    "image_size": [64, 48],
    "schedule": "constant",
    "schedule_params": {"keeps": "last"},
    "epochs": 5,
}


@pytest.mark.parametrize(
    ("changes", "way"),
    [
        ({}, ("constant (keeps=last)", "at most 5 epochs")),
        ({"recipe": None}, ("constant (keeps=last)", "at most 5 epochs")),
        (
            {"epochs": None, "recipe": {"epochs": 100, "batch_size": 16}},
            ("constant (keeps=last)", "at most 100 epochs"),
        ),
        (
            {"batch_size": 32, "learning_rate": 1e-4},
            ("constant (keeps=last)", "at most 5 epochs", "batch size 32", "learning rate 0.0001"),
        ),
        (
            {"batch_size": None, "learning_rate": None},
            ("constant (keeps=last)", "at most 5 epochs"),
        ),
        (
            {"corruptor": "gaussian", "corruptor_params": {"std": 0.2}, "batch_size": 8},
            (
                "constant (keeps=last)",
                "at most 5 epochs",
                "denoising gaussian (std=0.2)",
                "batch size 8",
            ),
        ),
        ({"schedule": None}, None),
        ({"model": "everything-defective"}, None),
    ],
)
def test_a_training_is_told_by_what_was_said(changes, way):
    """Schedule, planned epochs, and batch size and learning rate where the user chose them."""
    assert training(RECORD | changes) == way


def test_circumstances_have_the_size_first():
    """Without a training they are the size alone."""
    assert circumstances(RECORD) == "64x48 px, at most 5 epochs, constant (keeps=last) weights"
    assert circumstances(RECORD | {"schedule": None}) == "64x48 px"
