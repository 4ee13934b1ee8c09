"""The squared error as a multiple of a level learned from validation pictures."""

import torch


class WorstTenth:
    reduction = "max"

    def __init__(self, share=0.1):
        self.share = share
        self.level = torch.ones(())

    def fit(self, pairs):
        squares = [(target - made.mean).square().flatten() for target, made in pairs]
        self.level = torch.cat(squares).quantile(1 - self.share).clamp_min(1e-6)

    def __call__(self, target, reconstruction):
        return (target - reconstruction.mean).square().mean(1) / self.level.to(target.device)

    def state_dict(self):
        return {"level": self.level}

    def load_state_dict(self, state):
        self.level = state["level"]
