"""Training and scoring on devices that are only imagined, so that no GPU is needed to find what fails there.

Under torch's fake-tensor mode tensors have a shape, a dtype and a device but no numbers: a tensor that was
left on the CPU meets the others as it would on a GPU, and a value that the host reads does not exist.
The engine of the gradients wants real CUDA devices, so whole steps run on ``meta``, and what needs no gradient
on a fake ``cuda``.
"""

from __future__ import annotations

import warnings
from collections import defaultdict

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from recon_anomaly.batches import Batch, Batches
from recon_anomaly.images import PixelRange
from recon_anomaly.protocols import Reconstruction
from recon_anomaly.randomness import derive_seed, latent_noise, noise_of, seeded
from recon_anomaly.registry import build, build_network, load, offers
from recon_anomaly.residency import find_resident
from recon_anomaly.scoring import exact, make_noise, maps_and_terms
from recon_anomaly.steps import TrainingStep, gradient_step
from recon_anomaly.store import from_array
from recon_anomaly.training import Plan, RunState, _Totals

META, CUDA = torch.device("meta"), torch.device("cuda", 0)
SHAPE = (32, 32, 3)
CLOSED_FORM = {"brightness", "feature-pca", "mean", "nearest", "pca"}
TRAINED = {
    "cae": {},
    "contractive-ae": {},
    "cvae": {"latent_size": 4},
    "feature-ae": {"backbone": "resnet18", "weights": None},
    "ganomaly": {"latent_size": 4},
    "sparse-ae": {},
    "vae": {"latent_size": 4},
    "vae, bernoulli": {"latent_size": 4, "likelihood": "bernoulli"},
    "tcae": {"weights": None},
    "tcvae": {"weights": None, "latent_size": 4},
}
SCORERS = {
    "elbo": {"draws": 2},
    "fused": {"scorers": ("mse", "top-k")},
    "gradient": {},
    "l1": {},
    "latent-distance": {},
    "max1p": {},
    "ms-ssim": {},
    "mse": {},
    "perceptual": {"weights": None},
    "reconstruction-probability": {"draws": 2},
    "smoothed-maximum": {},
    "ssim": {},
    "standardised": {},
    "top-k": {},
}
WANTING = {  # what scorers need that not every model gives
    "elbo": {"cvae", "vae", "vae, bernoulli", "tcvae"},
    "latent-distance": {"ganomaly"},
    "perceptual": TRAINED.keys() - {"feature-ae"},
}


class NothingReachesTheHost(TorchDispatchMode):
    """Refuses copies to the CPU; the fake-tensor mode refuses the reading of values by itself."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        before = [arg for arg in args if isinstance(arg, torch.Tensor) and arg.device.type != "cpu"]
        if before and isinstance(made, torch.Tensor) and made.device.type == "cpu":
            raise RuntimeError(f"{func} brings a tensor to the host")
        return made


@pytest.fixture
def imagined():
    """Enter the fake-tensor mode and refuse copies to the host."""
    with FakeTensorMode(), NothingReachesTheHost():
        yield
    assert not torch.cuda.is_initialized()


def placed(network, device):
    """Return ``network`` with fake parameters and buffers on ``device``; other tensors stay as they are."""

    def fake(tensor):
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)

    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            needed = parameter.requires_grad
            setattr(module, name, nn.Parameter(fake(parameter), requires_grad=needed))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, fake(buffer))
    return network


@pytest.fixture(params=TRAINED)
def network(request):
    """Each trainable network that ships with the library, real, on the CPU, in channels-last."""
    return made(request.param)


def made(name):
    builder = load("model", name.partition(",")[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of random weights
        return build_network(builder, SHAPE, TRAINED[name]).to(memory_format=torch.channels_last)


def batch_on(device, network):
    images = torch.zeros((4, *SHAPE), device=device).permute(0, 3, 1, 2)
    if not hasattr(network, "frozen"):
        return Batch(images, images)
    stride, channels = network.backbone.stride, network.backbone.channels
    size = [4, *(side // stride for side in SHAPE[:2]), channels]
    return Batch(images, images, torch.zeros(size, device=device).permute(0, 3, 1, 2))


def whole_steps(network, device, count=2):
    """Train ``network`` as the loop does, without the host; return the terms and what was summed up."""
    state = RunState(network, Plan(None, 1, 1e-3, 0), (), device)
    totals = _Totals(Plan(None, 1, 1e-3, 0).ranks)
    batch, step = batch_on(device, network), TrainingStep(network)
    network.train()
    for number in range(count):
        with noise_of(device, None, 0, 1, number):
            terms = gradient_step(step, state.optimizer, batch, defaultdict(lambda: 1.0))
        totals.add(terms, len(batch.images))
    return terms, totals


def test_every_built_in_model_is_known_here():
    """A new trainable model has to be added to the ones that are tested on imagined devices."""
    known = {name.partition(",")[0] for name in TRAINED} | CLOSED_FORM
    assert known == {offer.name for offer in offers("model") if offer.plugin == "builtin"}
    assert set(SCORERS) == {offer.name for offer in offers("scorer") if offer.plugin == "builtin"}


# The whole step, on meta -------------------------------------------------------------------------


def test_a_whole_training_step_stays_on_its_device(network, imagined):
    """Forward, losses, gradients, optimiser and sums need no tensor on the host and no value of one."""
    network = placed(network, META)
    terms, totals = whole_steps(network, META)
    assert {term.device.type for term in terms.values()} == {"meta"}
    assert {total.device.type for total in totals.sums.values()} == {"meta"}
    assert list(totals.broken) == list(terms)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert {parameter.grad.device.type for parameter in trained} == {"meta"}


class Careless(nn.Module):
    """A network that works on the CPU and, unless ``fault`` is None, fails on a GPU or waits for it."""

    def __init__(self, fault=None):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
        nn.init.constant_(self.layer.bias, 0.5)  # some outputs are above 0 for any picture
        self.fault = fault
        self.stray = torch.full((3, 1, 1), 0.5)  # no buffer, so that no move takes it along

    def forward(self, images):
        outputs = self.layer(images)
        if self.fault == "stray":
            outputs = outputs + self.stray
        elif self.fault == "item":
            outputs = outputs * outputs.mean().item()
        elif self.fault == "branch":
            outputs = outputs if outputs.mean() > 0 else -outputs
        elif self.fault == "mask":
            outputs = outputs + outputs[outputs > 0].mean()
        elif self.fault == "copy":
            outputs = outputs + outputs.detach().cpu().to(outputs.device)
        return Reconstruction(outputs.sigmoid())

    def losses(self, target, reconstruction):
        return {"reconstruction": (target - reconstruction.mean).square().mean()}


FAULTS = {
    "stray": "same device|Please convert all Tensors to FakeTensors",
    "item": "_local_scalar_dense",
    "branch": "_local_scalar_dense",
    "mask": "nonzero",
    "copy": "brings a tensor to the host",
}


def test_a_careful_network_passes(imagined):
    """Without a fault the network of the next test passes, so that the fault is what fails there."""
    whole_steps(placed(Careless(), META), META)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_whole_step_finds_what_a_gpu_would_not_forgive(fault, imagined):
    """A stray CPU tensor, a value read by the host, a shape that depends on values, and a copy back fail."""
    network = placed(Careless(fault), META)
    with pytest.raises(Exception, match=FAULTS[fault]):
        whole_steps(network, META)


@pytest.mark.parametrize("fault", FAULTS)
def test_on_the_cpu_such_a_network_works(fault):
    """What the test before finds is invisible on the CPU."""
    terms, _ = whole_steps(Careless(fault), torch.device("cpu"))
    assert torch.isfinite(terms["reconstruction"])


# Forward passes, the optimiser and scores, on a fake cuda ----------------------------------------------


@pytest.mark.parametrize("keeping", [True, False])
def test_a_forward_pass_stays_on_cuda(keeping, network, imagined):
    """Reconstruction and loss terms are made on the GPU, with features that are kept and with new ones."""
    network = placed(network, CUDA).train()
    images, clean, kept, *_ = batch_on(CUDA, network)
    terms = TrainingStep(network)(images, clean, kept if keeping else None)
    assert {term.device for term in terms.values()} == {CUDA}
    assert {term.shape for term in terms.values()} == {()}


def test_on_cuda_only_the_network_computes_in_half_precision(network, imagined, monkeypatch):
    """Convolutions run in bfloat16 under autocast; what the losses see, and the losses, are float32."""
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    network = placed(network, CUDA).train()
    seen, handed = [], []
    for layer in network.decoder:
        layer.register_forward_hook(lambda _module, _inputs, made: seen.append(made.dtype))
    losses = network.losses
    monkeypatch.setattr(
        network,
        "losses",
        lambda target, found: handed.extend([target, *found]) or losses(target, found),
    )
    terms = TrainingStep(network, torch.bfloat16)(*batch_on(CUDA, network)[:3])
    assert set(seen) == {torch.bfloat16}
    assert {part.dtype for part in handed if part is not None} == {torch.float32}
    assert {(term.dtype, term.device) for term in terms.values()} == {(torch.float32, CUDA)}


def test_the_optimiser_moves_all_weights_on_cuda(network, imagined):
    """Adam is the fused one, and not even its count of steps is on the host."""
    network = placed(network, CUDA)
    optimizer = RunState(network, Plan(None, 1, 1e-3, 0), (), CUDA).optimizer
    assert optimizer.defaults["fused"]
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.empty_like(parameter)
    optimizer.step()
    optimizer.step()
    kept = [tensor for state in optimizer.state.values() for tensor in state.values()]
    assert {tensor.device for tensor in kept} == {CUDA}
    assert len(kept) == 3 * sum(parameter.requires_grad for parameter in network.parameters())


@pytest.fixture(
    params=sorted(SCORERS.keys() - {"fused"})
)  # which weighs its parts' scores on the CPU
def scorer(request):
    """Each scorer that ships with the library, with its backbone where it has one."""
    built, _ = build("scorer", request.param, SCORERS[request.param])
    if request.param == "perceptual":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of random weights
            built.fit([])
    return built


def test_maps_are_made_on_cuda(scorer, network, request, imagined):
    """Maps of every scorer, draws and all, are (n, h, w) on the GPU, and so are its terms."""
    names = request.node.callspec.params
    if names["network"] not in WANTING.get(names["scorer"], TRAINED):
        pytest.skip(f"{names['network']} does not give what {names['scorer']} needs")
    network = placed(network, CUDA).eval()
    batch = batch_on(CUDA, network)
    # As if fitted: at the size of what the network reconstructs.
    features = batch.kept is not None and hasattr(network, "target")
    size = tuple(batch.kept.shape[1:]) if features else SHAPE[-1::-1]
    for kept, shape in {"log_variance": size, "mean": size[1:], "deviation": size[1:]}.items():
        if hasattr(scorer, kept):
            setattr(scorer, kept, torch.empty(shape, device=CUDA))
    if names["scorer"] == "perceptual":
        placed(scorer.network, CUDA)
    with exact():
        noise = make_noise(network, scorer, 0, CUDA)
        maps, terms = maps_and_terms(network, scorer, batch.images, noise, batch.kept)
    assert (maps.device, maps.shape, maps.dtype) == (CUDA, (4, 32, 32), torch.float32)
    if terms is not None:
        assert (terms.device, terms.shape, terms.dtype) == (CUDA, (4,), torch.float32)


# Batches and generators, by what they are called with -----------------------------------------------------


@pytest.mark.parametrize("free", [10**9, 0], ids=["resident", "streamed"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_batches_are_made_on_cuda(dtype, free, imagined, monkeypatch):
    """Pictures, features and order go to the GPU, and nothing comes back; a store that fits is sent once."""
    pinned = []
    # Memory that a GPU does not read cannot be pinned.
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**9))
    pictures = from_array(np.zeros((10, *SHAPE), dtype))
    batches = Batches(pictures, PixelRange(0.0, 255.0, pictures.dtype.name), 4, CUDA)
    batches.kept = np.zeros((10, 8, 8, 5), np.float32)
    first, second = list(batches.shuffled(0, 1)), list(batches.shuffled(0, 2))
    resident = find_resident(pictures.array, CUDA)
    assert (resident is not None) == (find_resident(batches.kept, CUDA) is not None) == bool(free)
    # Pixels and features at once, and each epoch's order for either; else each batch's.
    assert len(pinned) == (6 if free else 12)
    for batch in (*first, *second):
        assert (batch.images.device, batch.kept.device) == (CUDA, CUDA)
        assert batch.images.dtype == batch.kept.dtype == torch.float32
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert batch.kept.is_contiguous(memory_format=torch.channels_last)
    assert [batch.images.shape for batch in first] == [(4, 3, 32, 32)] * 2 + [(2, 3, 32, 32)]


@pytest.mark.parametrize(("device", "used"), [("cuda", 1), ("cuda:0", 0), ("cuda:1", 1)])
def test_a_step_seeds_the_generator_of_its_gpu(device, used, monkeypatch):
    """The CPU's and the GPU's generator get the key's seed, the other GPU's none, and all go on as before."""
    gpus = [torch.Generator(), torch.Generator()]
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "default_generators", gpus)
    generators = [torch.default_generator, *gpus]
    before = [generator.get_state() for generator in generators]
    with seeded(torch.device(device), 1, 2, 3):
        seeds = [generator.initial_seed() for generator in generators]
    seed = derive_seed(1, 2, 3)
    assert [found == seed for found in seeds] == [True, used == 0, used == 1]
    after = [generator.get_state() for generator in generators]
    assert all(map(torch.equal, before, after))


def test_latent_noise_has_a_generator_on_the_gpu(monkeypatch):
    """The generator of a step's noise is made on the network's device and seeded by the key."""
    made = []

    def generator(device):
        made.append(device)
        return torch._C.Generator("cpu")

    monkeypatch.setattr(torch, "Generator", generator)
    with noise_of(CUDA, None, 1, 2, 3):
        found = latent_noise(torch.zeros(2, 3))
    assert made == [CUDA]
    wanted = torch._C.Generator("cpu").manual_seed(derive_seed(1, 2, 3))
    assert torch.equal(found, torch.randn((2, 3), generator=wanted))
