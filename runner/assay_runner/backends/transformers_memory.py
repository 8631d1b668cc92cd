"""The batch size that is found by itself: as many requests as there are, and half of them whenever the memory runs out.

What was learned holds for prompts as long as those, and longer ones, so that a few long prompts do not slow down all the
short ones after them. Sizes are powers of two."""

from __future__ import annotations

from assay_runner.backends.transformers_batches import Generate, Group, ScoreShown

_SIGNS = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")
_Row = tuple[bool, bool]


class Sizes:
    """How many requests fit, as far as is known. Used by one thread."""

    def __init__(self) -> None:
        self._fit: dict[_Row, dict[int, int]] = {}

    def fitting(self, group: Group) -> int:
        """How many requests of the group are to run together, at least 1."""
        kind, length = _measures(group)
        known = self._fit.get(kind, {})
        return min([len(group.requests), *(size for shorter, size in known.items() if shorter <= length)])

    def halve(self, group: Group, size: int) -> int:
        """Note that `size` > 1 requests of the group were too many; how many are to be tried next."""
        kind, length = _measures(group)
        half = 1 << (size - 1).bit_length() - 1
        self._fit.setdefault(kind, {})[length] = half
        return half


def _measures(group: Group) -> tuple[_Row, int]:
    """What needs memory alike, and the power of two from which on its rows are as long as the longest row."""
    if isinstance(group, Generate):
        heard = max((len(sound) for prompt in group.prompts for sound in prompt.sounds), default=0)
        longest = max((heard if length is None else length for length in group.lengths), default=0)
        width = longest + group.generation.max_new_tokens
        return (True, any(group.prompts[0].shape)), 1 << max(0, width.bit_length() - 1)
    if isinstance(group, ScoreShown):
        return (False, True), 1 << max(0, int(group.inputs["input_ids"].shape[1]).bit_length() - 1)
    pairs = zip(group.contexts, group.continuations, strict=True)
    width = max(len(context) + len(continuation) for context, continuation in pairs)
    return (False, False), 1 << max(0, width.bit_length() - 1)


def ran_out(error: BaseException) -> bool:
    """Whether the memory of the machine or of its accelerator was too small. Other faults speak of memory too, such as an
    illegal access, after which nothing can be tried again."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(sign in text for sign in _SIGNS))


def release() -> None:
    """Give the allocator's cache back, so that a smaller batch finds room in one piece."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
