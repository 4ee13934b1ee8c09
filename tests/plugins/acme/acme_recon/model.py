"""An autoencoder with one skip connection, around the mean colour."""

from torch import nn
from torch.nn import functional as F

from recon_anomaly import Reconstruction


class SkipAE(nn.Module):
    def __init__(self, image_shape, width=4):
        super().__init__()
        channels = image_shape[-1]
        self.down = nn.Conv2d(channels, width, 3, padding=1)
        self.up = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, images):
        colour = images.mean((2, 3), keepdim=True)
        return Reconstruction(colour + 0.1 * self.up(F.relu(self.down(images))))

    def losses(self, target, reconstruction):
        return {"reconstruction": F.l1_loss(reconstruction.mean, target)}
