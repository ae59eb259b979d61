"""Several processes that train one model together: who computes which rows, and what they must see as one batch.

Every process draws the same batch, with the same random numbers, and computes its share of the rows. Where a loss is
defined on the whole batch (CCC, means over labelled frames), predictions are put together first, so that the number of
processes changes neither losses nor gradients beyond rounding. Two things stay each process's own: the statistics that
the prior's BatchNorm sees in training, and the draws of drop path. Processes come from `accelerate launch` or
`torchrun` (see `affect_core.train`); without them there is one process, and nothing here does anything.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from affect_core.errors import AffectError


@dataclass(frozen=True)
class Share:
    """The rows of a batch of `total` that process `rank` of `world` computes: consecutive, sizes at most one apart."""

    total: int
    rank: int = 0
    world: int = 1

    @property
    def rows(self) -> slice:
        """Where the share lies in the batch."""
        start = sum(self.sizes[: self.rank])
        return slice(start, start + self.sizes[self.rank])

    @property
    def sizes(self) -> list[int]:
        """Rows of each process."""
        least, more = divmod(self.total, self.world)
        return [least + (rank < more) for rank in range(self.world)]

    def together(self, local: Tensor, dim: int = 0) -> Tensor:
        """The whole batch from everybody's rows, which lie along `dim`; gradients reach the rows of this process.

        A loss on the result, the same in every process, has 1 / world of its gradient in each (DDP averages):
        `fit` multiplies by `world`.
        """
        if self.world == 1:
            return local
        local = local.movedim(dim, 0)
        padded = local.new_zeros(max(self.sizes), *local.shape[1:])
        padded[: len(local)] = local.detach()
        everybody = [torch.empty_like(padded) for _ in range(self.world)]
        dist.all_gather(everybody, padded.contiguous())
        parts = [part[:size] for part, size in zip(everybody, self.sizes, strict=True)]
        parts[self.rank] = local
        return torch.cat(parts).movedim(0, dim)

    def mean(self, local: Tensor) -> Tensor:
        """Mean over the batch, given each process's mean () over its own rows; gradients as in `together`."""
        if self.world == 1:
            return local
        weight = self.sizes[self.rank] / self.total
        others = (local.detach() * weight).clone()
        dist.all_reduce(others)
        return local * weight + (others - local.detach() * weight)


def world() -> tuple[int, int]:
    """(rank of this process, number of processes)."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def share_of(total: int) -> Share:
    """This process's share of a batch of `total` rows. Raises AffectError if there are fewer rows than processes."""
    rank, processes = world()
    if total < processes:
        raise AffectError(f"A batch of {total} images cannot be divided among {processes} processes.")
    return Share(total, rank, processes)


def leave() -> None:
    """Say goodbye to the other processes; without it the exit of one may abort while another is still talking."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def is_main() -> bool:
    """Whether this process writes the files; true if it is the only one."""
    return world()[0] == 0


def lost_a_process(error: RuntimeError) -> bool:
    """Whether `error` is what gloo or NCCL raise in a process when another one of the group is gone."""
    words = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Connection refused")
    lost = isinstance(error, dist.DistBackendError) or any(word in str(error) for word in words)
    return world()[1] > 1 and lost


def from_main(value):
    """What the main process passed; every process must call it. Any picklable value of our own."""
    if world()[1] == 1:
        return value
    box = [value if is_main() else None]
    dist.broadcast_object_list(box)
    return box[0]


@contextmanager
def main_first():
    """Within, the main process is done before the others begin; an error of the main process stops all."""
    if world()[1] == 1:
        yield
        return
    if not is_main():
        failure = from_main(None)
        if failure is not None:
            raise AffectError(f"the main process stopped: {failure}")
        yield
        return
    failure = None
    try:
        yield
    except BaseException as error:
        failure = str(error) or type(error).__name__
        raise
    finally:
        from_main(failure)


def synchronised(module: nn.Module, device: torch.device) -> nn.Module:
    """`module` such that backward passes average gradients over the processes (DDP); alone, itself."""
    if world()[1] == 1:
        return module
    return DistributedDataParallel(module, device_ids=[device] if device.type == "cuda" else None)
