"""What this package offers to recon-anomaly."""

from recon_anomaly import hookimpl


@hookimpl
def recon_anomaly_models():
    return {"skip-ae": "acme_recon.model:SkipAE"}


@hookimpl
def recon_anomaly_scorers():
    return {"worst-tenth": "acme_recon.scorer:WorstTenth"}


@hookimpl
def recon_anomaly_corruptors():
    return {"black-bar": "acme_recon.corruptor:black_bar"}


@hookimpl
def recon_anomaly_schedules():
    return {"warm-up": "acme_recon.schedule:WarmUp"}
