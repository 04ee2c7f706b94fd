"""The networks that are trained, in torch, and their way to a policy file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from offload_gym.files import replacing
from offload_gym.networks.policy_file import Network, network_bytes
from offload_gym.observation import row_size, state_size


def pick_device(device: str = "auto") -> torch.device:
    """The torch device for "auto" (a GPU where there is one), or the named one."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch's operations while this is open; also a decorator of functions that train.

    The layers here are small. A second thread gains little on them, and once another process runs on its core the first
    one waits for it after every operation.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _layers(sizes: Sequence[int], last_linear: bool, bias: bool = True) -> nn.Sequential:
    modules: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        modules += [nn.Linear(inputs, outputs, bias=bias), nn.ReLU()]
    return nn.Sequential(*modules[:-1] if last_linear else modules)


class TaskNetwork(nn.Module):
    """Scores of each location for tasks of one epoch, with weights shared by the tasks.

    An encoder reads each task row by itself; sums of the encodings stand for the tasks that are not being decided. The
    head reads those sums, the row of the task it decides and the state. See ``offload_gym.observation`` for rows and
    states, and ``offload_gym.networks.policy_file`` for the compiled form.

    Args:
        form: "sequential" (the state is the schedule so far; later tasks are summed) or "joint" (the multi-label form:
            the state is that of the epoch's start; earlier and later tasks are summed apart).
        cores: (K,) cores of each location.
        encoder: sizes of the encoder's layers.
        head: sizes of the head's hidden layers.
        dependent: whether rows and states are those for dependent tasks.
        roll_outs: whether the head reads the roll-outs in the state.
        further: numbers that the head reads behind the state, which then end with them and hold no roll-outs.

    Raises:
        ValueError: roll_outs is False for dependent tasks, whose state ends with something else.
    """

    def __init__(
        self,
        form: str,
        cores: Sequence[int],
        encoder: Sequence[int],
        head: Sequence[int],
        dependent: bool = False,
        roll_outs: bool = True,
        further: int = 0,
    ) -> None:
        super().__init__()
        if dependent and not roll_outs:
            raise ValueError("roll_outs is False; for dependent tasks it must be True")
        self.form = form
        self.cores = tuple(cores)
        self.dependent = dependent
        self.roll_outs = roll_outs
        num_locations = len(self.cores)
        features = row_size(num_locations, dependent) - 1
        sums = 2 if form == "joint" else 1
        self._state = state_size(sum(self.cores), num_locations, dependent, roll_outs) + further
        inputs = sums * encoder[-1] + features + self._state
        # Without biases an encoding grows with the times in its row and with nothing else. All times of an epoch are
        # divided by one scale, so the sums stay as they are for graphs of many times as many tasks as in training.
        self.encoder = _layers([features, *encoder], last_linear=False, bias=not dependent)
        self.head = _layers([inputs, *head, num_locations], last_linear=True)

    def forward(self, rows: Tensor, states: Tensor) -> Tensor:
        """Scores of all steps of each epoch.

        Args:
            rows: (B, n, row size).
            states: (B, n, state size), with roll-outs; the joint form reads the first of each epoch only.

        Returns:
            (B, n, K) logits: at step i, of placing task i at each location.
        """
        codes = self.encoder(rows[..., 1:]) * rows[..., :1]
        until = codes.cumsum(dim=1)
        later = until[:, -1:] - until
        states = states[..., : self._state]
        if self.form == "joint":
            states = states[:, :1].expand(-1, rows.shape[1], -1)
            inputs = [until - codes, later, rows[..., 1:], states]
        else:
            inputs = [later, rows[..., 1:], states]
        return self.head(torch.cat(inputs, dim=-1))


def num_parameters(network: nn.Module) -> int:
    """Trainable weights and biases."""
    return sum(parameter.numel() for parameter in network.parameters())


def linear_layers(module: nn.Module) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """(weight, bias) of each linear layer of a module, in order; the bias is 0 where the layer has none."""
    layers = []
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            weight = layer.weight.detach().cpu().numpy().copy()
            bias = np.zeros(len(weight), dtype=np.float32) if layer.bias is None else layer.bias.detach().cpu().numpy()
            layers.append((weight, bias.copy()))
    return tuple(layers)


def to_runtime(network: TaskNetwork) -> Network:
    """The network as the compiled runtime reads it."""
    return Network(
        form=network.form,
        activation="relu",
        cores=network.cores,
        num_tasks=0,
        encoder=linear_layers(network.encoder),
        head=linear_layers(network.head),
        dependent=network.dependent,
        metadata={},
        roll_outs=network.roll_outs,
    )


def from_runtime(network: Network) -> TaskNetwork:
    """The torch form of a network with an encoder, to learn from it or to train it further."""
    encoder, head = ([weight.shape[0] for weight, _ in layers] for layers in (network.encoder, network.head))
    module = TaskNetwork(network.form, network.cores, encoder, head[:-1], network.dependent, network.roll_outs)
    linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer, (weight, bias) in zip(linear, network.encoder + network.head, strict=True):
            layer.weight.copy_(torch.from_numpy(weight))
            if layer.bias is not None:
                layer.bias.copy_(torch.from_numpy(bias))
    return module


def save_policy(path: str | Path, network: Network) -> None:
    """Write a policy file for ``offload_gym.load_policy``; an existing file is replaced once the new one is whole."""
    with replacing(path) as temporary:
        temporary.write_bytes(network_bytes(network))
