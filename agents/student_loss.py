"""Knowledge distillation (KD): a small student learns a teacher's soft decisions.

The loss is that of Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (arXiv 1503.02531).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from agents.imitation import Loss, Samples, with_latency
from agents.networks import TaskNetwork, one_thread


def distillation_loss(
    student_logits: Tensor, teacher_logits: Tensor, targets: Tensor, temperature: float = 1.0, alpha: float = 0.5
) -> Tensor:
    """Loss of a student that learns from a teacher and from labels.

    ``alpha * temperature**2 * KL(teacher || student)``, both softened by the temperature, plus ``(1 - alpha)`` times
    the cross-entropy with the labels. The factor ``temperature**2`` keeps the gradients of the first term of one size
    for all temperatures.

    Args:
        student_logits: (N, K).
        teacher_logits: (N, K); no gradient flows into them.
        targets: (N,) class indices (hard targets) or (N, K) probabilities (soft labels).
        temperature: above 0; the higher, the more the teacher's small probabilities count.
        alpha: weight of the teacher, from 0 (labels alone) to 1 (teacher alone).

    Returns:
        The mean over N, a scalar.
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; it must be above 0")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; it must be from 0 to 1")
    divergence = functional.kl_div(
        functional.log_softmax(student_logits / temperature, dim=-1),
        functional.log_softmax(teacher_logits.detach() / temperature, dim=-1),
        reduction="batchmean",
        log_target=True,
    )
    return alpha * temperature**2 * divergence + (1 - alpha) * functional.cross_entropy(student_logits, targets)


@torch.no_grad()
@one_thread()
def teacher_scores(teacher: TaskNetwork, samples: Samples, batch_size: int = 4096) -> Tensor:
    """The teacher's logits (B, n, K) on the samples."""
    teacher.to(samples.rows.device).eval()
    batches = zip(samples.rows.split(batch_size), samples.states.split(batch_size), strict=True)
    return torch.cat([teacher(rows, states) for rows, states in batches])


def student_loss(teacher: TaskNetwork, samples: Samples, temperature: float = 1.0, alpha: float = 0.5) -> Loss:
    """Distillation from the teacher's scores and the expert's labels; in the joint form together with the latency.

    The teacher must be of the student's form. Where the networks see estimates the student learns from the teacher
    alone, who has learned what the labels in hindsight leave open (see ``agents.imitation.teacher_loss``).
    """
    if samples.regret is not None:
        alpha = 1.0
    scores = teacher_scores(teacher, samples)

    def loss(logits: Tensor, chosen: Tensor) -> Tensor:
        student_logits, teacher_logits, targets = (
            samples.of_tasks(values, chosen) for values in (logits, scores[chosen], samples.targets[chosen])
        )
        label_loss = distillation_loss(student_logits, teacher_logits, targets, temperature, alpha)
        return with_latency(teacher.form, label_loss, logits, samples, chosen)

    return loss
