"""A training step's batch as a whole, where several processes have a share each.

A loss that is a mean over triplets needs nothing of this: averaging gradients over the processes, which data-parallel
training does, is all. A loss that compares triplets with one another (the hardest negative in the batch, for example)
would see a process's share alone. It gathers what it compares, with gradients. Every process then computes the same
loss of the same rows, and the gradients are those of one process with the whole batch.

Process r of N has rows r, r + N, r + 2N, ... of the batch (`training.batches.EpochBatches`), as many as every other.
Without `torch.distributed`, or on one process, the functions return what they are given.
"""

import torch
import torch.distributed as dist
from torch import Tensor


def n_processes() -> int:
    """How many processes share a batch."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _Gather(torch.autograd.Function):
    """Rows of every process, (N, B, ...), and back: each process gets what all of them ask of its rows."""

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
    """The rows of all processes in the order of the batch: (B, ...) -> (N B, ...). Gradients flow back."""
    if n_processes() == 1:
        return rows
    return _Gather.apply(rows.contiguous()).transpose(0, 1).flatten(0, 1)


def own_rows(rows: Tensor) -> Tensor:
    """This process's share of what is given for the whole batch: (N B, ...) -> (B, ...)."""
    return rows if n_processes() == 1 else rows[dist.get_rank() :: n_processes()]


@torch.no_grad()
def take_rows(rows: Tensor, numbers: Tensor) -> Tensor:
    """Rows of the whole batch, on every process, without gathering all of it or its gradients.

    Args:
        rows: (B, ...), this process's share.
        numbers: (K,) which rows of the whole batch; the first process's count.

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
