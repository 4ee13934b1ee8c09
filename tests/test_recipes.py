"""Recipes: whose word counts for epochs, batch size, learning rate, plateau and early stopping."""

import pytest

from recon_anomaly import InputError, ReconstructionDetector
from recon_anomaly.models.cvae import CVAENetwork


def cooked(**recipe):
    """A model with a recipe of its own."""

    def build(image_shape):
        return CVAENetwork(image_shape, kernels=(2, 3), latent_size=3)

    build.recipe = recipe
    return build


def test_without_a_word_the_default_recipe_is_taken(good):
    """50 epochs of batches of 16 at 0.003, with plateau and early stopping: Klimkevičius, section 4.1; small ones in float32."""
    assert ReconstructionDetector("mean").fit(good).recipe_ == {
        "epochs": 50,
        "batch_size": 16,
        "learning_rate": 0.003,
        "reduce_learning_rate": True,
        "early_stopping": True,
        "precision": "float32",
    }


def test_the_models_recipe_stands_before_the_default_and_the_users_word_before_both(good):
    """Each of the five is taken by itself, and the training shows it."""
    model = cooked(epochs=3, learning_rate=0.01)
    detector = ReconstructionDetector(model, learning_rate=0.02).fit(good)
    assert (detector.recipe_["epochs"], detector.recipe_["batch_size"]) == (3, 16)
    assert [record.learning_rate for record in detector.history_.records] == [0.02] * 3


def test_a_schedule_that_lays_out_its_epochs_stands_before_the_model(good):
    """They are trained where the user names none or the same; another number is refused."""

    def schedule(history):
        return dict.fromkeys(history.terms, 1.0)

    schedule.planned_epochs = 2
    model = cooked(epochs=3)
    assert len(ReconstructionDetector(model, schedule=schedule).fit(good).history_) == 2
    assert len(ReconstructionDetector(model, schedule=schedule, epochs=2).fit(good).history_) == 2
    with pytest.raises(InputError, match=r"epochs=3, but the schedule .* lays out 2"):
        ReconstructionDetector(model, schedule=schedule, epochs=3).fit(good)


def test_a_recipe_may_turn_early_stopping_off(good):
    """With a rate too small to improve anything the default run ends early, and this one does not."""
    calm = cooked(epochs=12, learning_rate=1e-12, reduce_learning_rate=False, early_stopping=False)
    history = ReconstructionDetector(calm).fit(good).history_
    assert [record.learning_rate for record in history.records] == [1e-12] * 12
    history = ReconstructionDetector(calm, early_stopping=True).fit(good).history_
    assert len(history) < 12


def test_an_unknown_part_of_a_recipe_is_refused(good):
    """The message lists what a recipe may have."""
    with pytest.raises(InputError, match=r"has patience; known are epochs, batch_size"):
        ReconstructionDetector(cooked(patience=3)).fit(good)
