"""What ships with the library, offered by the same hooks as anyone's plugin: names and strings."""

from .hookspecs import hookimpl

__all__ = [
    "recon_anomaly_corruptors",
    "recon_anomaly_models",
    "recon_anomaly_schedules",
    "recon_anomaly_scorers",
]


@hookimpl
def recon_anomaly_models() -> dict[str, str]:
    """Offer the four networks of the Klimkevičius paper, the one of Nakata et al., and the baselines."""
    return {
        "brightness": "recon_anomaly.models.brightness:Brightness",
        "cae": "recon_anomaly.models.cae:CAENetwork",
        "cvae": "recon_anomaly.models.cvae:CVAENetwork",
        "mean": "recon_anomaly.models.mean:MeanPicture",
        "nearest": "recon_anomaly.models.nearest:NearestPicture",
        "pca": "recon_anomaly.models.pca:PrincipalComponents",
        "tcae": "recon_anomaly.models.tcae:TCAENetwork",
        "tcvae": "recon_anomaly.models.tcvae:TCVAENetwork",
        "vae": "recon_anomaly.models.vae:VAENetwork",
    }


@hookimpl
def recon_anomaly_scorers() -> dict[str, str]:
    """Offer the scores of the two papers and the reconstruction probability."""
    return {
        "max1p": "recon_anomaly.scorers.max1p:MaximumPixel",
        "mse": "recon_anomaly.scorers.mse:mean_squared_error",
        "reconstruction-probability": (
            "recon_anomaly.scorers.reconstruction_probability:ReconstructionProbability"
        ),
    }


@hookimpl
def recon_anomaly_corruptors() -> dict[str, str]:
    """Offer the three artificial anomalies of the Klimkevičius paper."""
    return {
        "gaussian": "recon_anomaly.corruptors.gaussian:GaussianNoise",
        "objects": "recon_anomaly.corruptors.objects:PastedObjects",
        "salt-and-pepper": "recon_anomaly.corruptors.salt_and_pepper:SaltAndPepper",
    }


@hookimpl
def recon_anomaly_schedules() -> dict[str, str]:
    """Offer the adaptive weights of the Nakata paper, KL annealing, and what they are measured against."""
    return {
        "awl-auc": "recon_anomaly.schedules.awl_auc:AUCAdaptiveWeights",
        "awl-loss": "recon_anomaly.schedules.awl_loss:LossAdaptiveWeights",
        "combined": "recon_anomaly.schedules.combined:CombinedWeights",
        "constant": "recon_anomaly.schedules.constant:ConstantWeights",
        "kl-annealing": "recon_anomaly.schedules.kl_annealing:KLAnnealing",
    }
