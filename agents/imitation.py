"""Deep imitation learning (DIL): a teacher learns the expert's demonstrations.

The sequential form is behaviour cloning of the expert's soft labels. The joint (multi-label) form has a second term
beside the labels, ``latency_loss``, which makes its labels fit together; ``LABEL_WEIGHT`` sets the mixture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from agents.networks import TaskNetwork, one_thread, to_runtime
from offload_gym.delay import latency, optimality_gap
from offload_gym.demonstrations import Demonstrations
from offload_gym.networks.policy import NetworkPolicy
from offload_gym.networks.policy_file import Network
from offload_gym.observation import epoch_observations
from offload_gym.progress import progress_bar

LABEL_TEMPERATURE = 0.02  # of the regret: a choice that costs 2 % more gets 1/e of the weight of the best
NUM_CHOICES = 8  # decisions drawn for one instance in the latency loss
LABEL_WEIGHT = 0.1  # of the labels beside the latency loss
HINDSIGHT_LABEL_WEIGHT = 0.02  # of the labels beside the expected regret
MUON_LEARNING_RATE = 5e-2
LEARNING_RATE = 5e-3  # of biases, at its peak
MAX_REGRET = 1.0  # a rare disaster in hindsight must not drown everything else

# (logits (b, n, K), indices (b,) of the epochs among the samples) -> scalar
Loss = Callable[[Tensor, Tensor], Tensor]


class Samples(NamedTuple):
    """Training tensors of B epochs of n tasks."""

    rows: Tensor  # (B, n, row size)
    states: Tensor  # (B, n, state size)
    targets: Tensor  # (B, n, K) probabilities
    present: Tensor  # (B, n) whether there is a task, not padding
    labels: Demonstrations | None  # what they were made of, unless of recorded observations
    regret: Tensor | None  # (B, n, K) of each choice in hindsight, where rows and states are of estimates

    def of_tasks(self, values: Tensor, chosen: Tensor) -> Tensor:
        """(N, ...) the ``values`` (b, n, ...) of all tasks of the ``chosen`` epochs (b,), without padding."""
        return values[self.present[chosen]]


def soft_labels(regret: NDArray[np.float64], temperature: float = LABEL_TEMPERATURE) -> NDArray[np.float32]:
    """Probabilities softmax(-regret / temperature) over the last axis."""
    weights = np.exp(-(regret - regret.min(axis=-1, keepdims=True)) / temperature)
    return (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)


def make_samples(demonstrations: Demonstrations, form: str, dependent: bool, device: torch.device) -> Samples:
    """Training tensors for a network of the given form.

    The sequential form learns the soft labels of all steps along the prefixes. The joint form learns the optimal
    decisions themselves: where several choices of a task are equally good, the choices of the other tasks depend on
    which one is taken, and the expert's rule for taking one is what makes the labels agree with each other.

    Args:
        demonstrations: what to learn from.
        form: "sequential" or "joint".
        dependent: whether rows and states are those for dependent tasks.
        device: where the tensors go.
    """
    instances = demonstrations.seen
    rows, states = epoch_observations(instances, demonstrations.prefixes, dependent)
    if form == "joint":
        targets = np.eye(demonstrations.instances.num_locations, dtype=np.float32)[demonstrations.decisions]
    else:
        targets = soft_labels(demonstrations.regret)
    tensors = [torch.from_numpy(array).to(device) for array in (rows, states, targets, instances.present)]
    regret = None
    if demonstrations.estimates is not None:
        hindsight = np.nan_to_num(demonstrations.regret).clip(max=MAX_REGRET).astype(np.float32)
        regret = torch.from_numpy(hindsight).to(device)
    return Samples(tensors[0], tensors[1], tensors[2], tensors[3], demonstrations, regret)


def mean_gap(network: Network, demonstrations: Demonstrations) -> float:
    """Mean optimality gap of the network's own decisions (latency over the optimum, minus 1)."""
    decisions = NetworkPolicy(network, keep_best=False).decide(demonstrations.seen)
    latency_s = latency(demonstrations.instances, decisions, demonstrations.objective)
    return float(optimality_gap(latency_s, demonstrations.latency_s).mean())


@one_thread()
def fit(
    network: TaskNetwork,
    samples: Samples,
    loss: Loss,
    validation: Demonstrations | None,
    *,
    epochs: int,
    batch_size: int = 512,
    muon_learning_rate: float | None = MUON_LEARNING_RATE,
    seed: int = 0,
    description: str = "training",
) -> float:
    """Train with one-cycle learning rates; the network keeps its best weights on validation, without it the last ones.

    Weight matrices are trained by Muon (Jordan 2024), which makes each step's change of a matrix an orthogonal one, and
    biases by AdamW. Small networks stay far from their best under AdamW alone: docs/policies.md has figures.

    Args:
        network: trained in place, on the device of the samples.
        samples: what to learn from.
        loss: ``teacher_loss`` or ``agents.student_loss.student_loss``, made of the same samples.
        validation: instances that were not trained on; the mean gap is measured on them during the second half. None:
            nothing is measured.
        epochs: passes over the samples.
        batch_size: decision epochs (of n tasks) in one gradient step.
        muon_learning_rate: of weight matrices, at its peak; None: AdamW trains them, too.
        seed: of the order of the samples.
        description: shown beside the progress bar.

    Returns:
        The best mean gap on validation; infinite without it.
    """
    device = samples.rows.device
    network.to(device).train()
    size = len(samples.rows)
    steps = -(-size // batch_size)
    others = [p for p in network.parameters() if p.ndim != 2 or muon_learning_rate is None]
    optimizers: list[torch.optim.Optimizer] = []
    if muon_learning_rate is not None:
        matrices = [p for p in network.parameters() if p.ndim == 2]
        optimizers.append(torch.optim.Muon(matrices, lr=muon_learning_rate, weight_decay=1e-4))
    if others:
        optimizers.append(torch.optim.AdamW(others, lr=LEARNING_RATE, weight_decay=1e-4))
    schedules = [
        torch.optim.lr_scheduler.OneCycleLR(
            optimizer, optimizer.defaults["lr"], total_steps=epochs * steps, pct_start=0.15, cycle_momentum=False
        )
        for optimizer in optimizers
    ]
    generator = torch.Generator().manual_seed(seed)
    best_gap, best_weights = np.inf, None
    with progress_bar(epochs * steps, description, "step") as bar:
        for epoch in range(epochs):
            order = torch.randperm(size, generator=generator).to(device)
            for start in range(0, size, batch_size):
                chosen = order[start : start + batch_size]
                value = loss(network(samples.rows[chosen], samples.states[chosen]), chosen)
                network.zero_grad(set_to_none=True)
                value.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                for optimizer, schedule in zip(optimizers, schedules, strict=True):
                    optimizer.step()
                    schedule.step()
                bar.update()
            if validation is not None and 2 * (epoch + 1) > epochs:
                gap = mean_gap(to_runtime(network), validation)
                bar.set_postfix_str(f"validation gap {gap:.2%}")
                if gap < best_gap:
                    best_gap = gap
                    best_weights = {name: value.clone() for name, value in network.state_dict().items()}
    if best_weights is not None:
        network.load_state_dict(best_weights)
    network.eval()
    return float(best_gap)


def latency_loss(logits: Tensor, labels: Demonstrations, num_choices: int = NUM_CHOICES) -> Tensor:
    """Expected latency over the optimum, where each task's location is drawn from its own probabilities.

    Cross-entropy teaches a multi-label network the marginal probability of each task's label. Where two tasks can
    trade places their marginals tie, and arg-max puts both in the same place. This loss scores whole decisions on the
    delay kernel instead, so that the network commits itself to one of the good ones.

    The gradient is the score-function estimate (Williams 1992, REINFORCE) with the mean of the other draws as baseline;
    the value is that of the estimate and means nothing by itself.

    Args:
        logits: (B, n, K).
        labels: the B instances and their optimal latencies.
        num_choices: decisions drawn for each instance, at least 2.
    """
    log_probabilities = torch.log_softmax(logits, dim=-1)
    drawn = torch.distributions.Categorical(logits=logits.detach()).sample((num_choices,))  # (choices, B, n)
    latency_s = np.stack([latency(labels.instances, d, labels.objective) for d in drawn.cpu().numpy()])
    # Instances whose optimum is 0 have no relative latency, and teach nothing here.
    gap = np.where(labels.latency_s > 0, optimality_gap(latency_s, labels.latency_s), 0.0)
    advantage = torch.from_numpy(gap - gap.mean(axis=0)) * num_choices / (num_choices - 1)
    # A rare disaster among the draws must not drown what the others say.
    weight = advantage.clamp(-0.5, 0.5).to(logits)
    expanded = log_probabilities.expand(num_choices, *log_probabilities.shape)
    of_tasks = expanded.gather(-1, drawn.unsqueeze(-1)).squeeze(-1)  # (choices, B, n)
    drawn_log_probability = (of_tasks * torch.from_numpy(labels.instances.present).to(logits)).sum(dim=-1)
    return (weight * drawn_log_probability).mean()


def with_latency(form: str, label_loss: Tensor, logits: Tensor, samples: Samples, chosen: Tensor) -> Tensor:
    """The loss of a form: labels alone for the sequential one; the joint one must also make its labels fit together."""
    if form == "sequential":
        return label_loss
    assert samples.labels is not None  # recorded observations are those of the sequential form
    return latency_loss(logits, samples.labels.part(chosen.cpu().numpy())) + LABEL_WEIGHT * label_loss


def teacher_loss(form: str, samples: Samples) -> Loss:
    """Cross-entropy with the expert's labels; in the joint form together with the latency.

    Where the network sees estimates, the labels of one and the same observation differ, as they come from the truth.
    Cross-entropy would learn how often each choice is best. What counts is what it costs, so there the loss is the
    expected regret, with a little cross-entropy that keeps the scores apart.
    """

    def loss(logits: Tensor, chosen: Tensor) -> Tensor:
        logits_of_tasks, targets = samples.of_tasks(logits, chosen), samples.of_tasks(samples.targets[chosen], chosen)
        label_loss = functional.cross_entropy(logits_of_tasks, targets)
        if samples.regret is not None:
            regret = samples.of_tasks(samples.regret[chosen], chosen)
            expected = (torch.softmax(logits_of_tasks, dim=-1) * regret).sum(dim=-1).mean()
            label_loss = expected + HINDSIGHT_LABEL_WEIGHT * label_loss
        return with_latency(form, label_loss, logits, samples, chosen)

    return loss
