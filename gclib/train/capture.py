"""Something that the GPU does again and again as one CUDA graph: recorded once, then replayed.

The host then no longer launches each kernel.
"""

from collections.abc import Callable

import torch

from gclib.errors import UserError

__all__ = ["Captured"]

# Before the recording, for autograd, optimiser and libraries to have made what they keep. They are calls like others.
WARM_UP = 3


class Captured:
    """Makes the first `WARM_UP` calls as they are written, records the next, and replays it from then on.

    Parameters
    ----------
    function
        Reads and changes the same tensors on a CUDA device each time, also those by which one call differs from the
        next. See `gclib.train.steps.Steps`.

    Notes
    -----
    A tensor that the function reads may be changed in place between calls; one that is put in its place is not seen.
    All calls are made on one stream, which is not the default one.
    """

    def __init__(self, function: Callable[[], None]) -> None:
        self.function, self.calls = function, 0
        self.graph = torch.cuda.CUDAGraph()

    def __call__(self) -> None:
        """Make one call.

        Raises
        ------
        UserError
            If the function does something that cannot be recorded.
        """
        self.calls += 1
        if self.calls <= WARM_UP:
            self.function()
            return
        if self.calls == WARM_UP + 1:
            self._record()
        self.graph.replay()

    def _record(self) -> None:
        try:
            # Not torch.cuda.graph, which waits for all that is on the device: other runs go on meanwhile.
            self.graph.capture_begin(capture_error_mode="thread_local")
            try:
                self.function()
            finally:
                self.graph.capture_end()
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"a training step of this method cannot be recorded for the GPU ({reason}); expected one that brings "
                "no value to the CPU, as item(), if and an index by a mask do; change it, or use device cpu"
            ) from error
