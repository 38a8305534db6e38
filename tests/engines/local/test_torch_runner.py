"""What a pass of transformers' layers shares between them."""

from __future__ import annotations

import torch

from urial.engines.local.torch_runner import Masks, attend_last


def test_layers_on_other_devices_get_masks_of_their_own() -> None:
    """A model over several GPUs: its layers take the same pass one after the other."""
    masks: Masks = {}
    for device in ("cpu", "meta", "cpu"):
        query, keys, values = (
            torch.ones(1, heads, length, 8, device=device) for heads, length in ((4, 3), (2, 9), (2, 9))
        )
        found = attend_last(query, keys, values, 4, None, masks)
        assert found.shape == query.shape and found.device.type == device
    assert len(masks) == 2


def test_a_mask_is_made_once_a_pass_and_shows_a_windows_positions() -> None:
    masks: Masks = {}
    query, keys = torch.zeros(1, 2, 2, 8), torch.zeros(1, 2, 6, 8)
    values = torch.eye(6, 8)[None, None].expand(1, 2, 6, 8)
    for window, seen in ((None, [5, 6]), (3, [3, 3]), (9, [5, 6])):
        for _ in range(2):
            found = attend_last(query, keys, values, window, None, masks)
            assert [int((row > 0).sum()) for row in found[0, 0]] == seen
    assert len(masks) == 3
