"""Loggers: plugins that write down a training as it goes on, while somebody wants them to.

Each is used as a context manager, in which every training is logged; nothing is logged because a package is installed.
"""

from .mlflow import MLflowLogger
from .tensorboard import TensorBoardLogger

__all__ = ["LOGGERS", "MLflowLogger", "TensorBoardLogger"]

LOGGERS = {"mlflow": MLflowLogger, "tensorboard": TensorBoardLogger}
"""By the names of ``recon-anomaly fit --log``."""
