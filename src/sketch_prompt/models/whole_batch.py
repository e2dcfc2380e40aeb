"""The whole batch of a training step, if several processes have a share each.

A loss that is a mean over triplets does not need this, because data-parallel training averages the gradients over
processes. A loss that compares triplets with each other (such as the hardest negative in the batch) would only see the
share of a process. It gathers what it compares, with gradients. Then each process computes the same loss of the same
rows, and the gradients are those of a single process with the whole batch.

Process r of N has rows r, r + N, r + 2N, ... of the batch (`training.batches.EpochBatches`), and all have equally
many. Without `torch.distributed`, or with one process, the functions return their input.
"""

import torch
import torch.distributed as dist
from torch import Tensor


def n_processes() -> int:
    """Number of processes that share a batch."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _Gather(torch.autograd.Function):
    """Gather the rows of all processes. In the backward pass, each process gets the gradients of its rows."""

    @staticmethod
    def forward(ctx, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(n_processes())]
        dist.all_gather(parts, rows)
        return torch.stack(parts)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        total = grad.contiguous()
        dist.all_reduce(total)
        return total[dist.get_rank()]


def gather_rows(rows: Tensor) -> Tensor:
    """The rows of all processes in the order of the batch: (B, ...) -> (N B, ...), with gradients."""
    if n_processes() == 1:
        return rows
    return _Gather.apply(rows.contiguous()).transpose(0, 1).flatten(0, 1)


def own_rows(rows: Tensor) -> Tensor:
    """This process's share of a tensor for the whole batch: (N B, ...) -> (B, ...)."""
    return rows if n_processes() == 1 else rows[dist.get_rank() :: n_processes()]


@torch.no_grad()
def take_rows(rows: Tensor, numbers: Tensor) -> Tensor:
    """Some rows of the whole batch, on all processes, without gathering the whole batch or its gradients.

    Args:
        rows: (B, ...), the share of this process.
        numbers: (K,) row numbers in the whole batch. Those of the first process are used.

    Returns:
        (K, ...)
    """
    if n_processes() == 1 or not len(numbers):
        return rows[numbers]
    numbers = numbers.to(rows.device)
    dist.broadcast(numbers, src=0)
    mine = numbers % n_processes() == dist.get_rank()
    taken = rows.new_zeros(len(numbers), *rows.shape[1:])
    taken[mine] = rows[numbers[mine] // n_processes()]
    dist.all_reduce(taken)
    return taken
