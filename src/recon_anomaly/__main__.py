"""``python -m recon_anomaly`` is the command ``recon-anomaly``."""

from .cli import main

main()
