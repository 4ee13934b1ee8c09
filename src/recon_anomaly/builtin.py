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
    """Offer the networks of the two papers, other autoencoders, and what they have to beat."""
    return {
        "brightness": "recon_anomaly.models.brightness:Brightness",
        "cae": "recon_anomaly.models.cae:CAENetwork",
        "contractive-ae": "recon_anomaly.models.contractive:ContractiveAENetwork",
        "cvae": "recon_anomaly.models.cvae:CVAENetwork",
        "feature-ae": "recon_anomaly.models.feature_ae:FeatureAutoencoder",
        "feature-pca": "recon_anomaly.models.feature_pca:FeaturePrincipalComponents",
        "ganomaly": "recon_anomaly.models.ganomaly:GANomalyNetwork",
        "mean": "recon_anomaly.models.mean:MeanPicture",
        "nearest": "recon_anomaly.models.nearest:NearestPicture",
        "pca": "recon_anomaly.models.pca:PrincipalComponents",
        "sparse-ae": "recon_anomaly.models.sparse:SparseAENetwork",
        "tcae": "recon_anomaly.models.tcae:TCAENetwork",
        "tcvae": "recon_anomaly.models.tcvae:TCVAENetwork",
        "vae": "recon_anomaly.models.vae:VAENetwork",
    }


@hookimpl
def recon_anomaly_scorers() -> dict[str, str]:
    """Offer the scores of the two papers, the reconstruction probability, and others that see something else."""
    return {
        "fused": "recon_anomaly.scorers.fused:FusedScorer",
        "elbo": "recon_anomaly.scorers.elbo:EvidenceLowerBound",
        "gradient": "recon_anomaly.scorers.gradient:gradient_difference",
        "l1": "recon_anomaly.scorers.l1:mean_absolute_error",
        "latent-distance": "recon_anomaly.scorers.latent:LatentDistance",
        "max1p": "recon_anomaly.scorers.max1p:MaximumPixel",
        "ms-ssim": "recon_anomaly.scorers.ms_ssim:MultiScaleDifference",
        "mse": "recon_anomaly.scorers.mse:mean_squared_error",
        "perceptual": "recon_anomaly.scorers.perceptual:PerceptualDifference",
        "reconstruction-probability": (
            "recon_anomaly.scorers.reconstruction_probability:ReconstructionProbability"
        ),
        "smoothed-maximum": "recon_anomaly.scorers.smoothed_maximum:SmoothedMaximum",
        "ssim": "recon_anomaly.scorers.ssim:structural_difference",
        "standardised": "recon_anomaly.scorers.standardised:StandardisedResidual",
        "top-k": "recon_anomaly.scorers.top_k:LargestErrors",
    }


@hookimpl
def recon_anomaly_corruptors() -> dict[str, str]:
    """Offer the three artificial anomalies of the Klimkevičius paper, and defects that are lit."""
    return {
        "casting-defects": "recon_anomaly.corruptors.casting_defects:CastingDefects",
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
