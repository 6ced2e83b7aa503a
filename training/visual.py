"""Visual tokens of one or several views, from the tower's rows."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from model import Config, Foveate
from tiling import Size, token_sources


@dataclass(frozen=True)
class TileMap:
    """Which tower rows (view by view, then the newline) each visual token is a weighted sum of, [tokens, 4]."""

    sources: Tensor
    weights: Tensor
    views: int


@lru_cache(64)
def tile_map(size: Size, config: Config, tiled: bool, device: str = "cpu") -> TileMap:
    """The visual tokens of a picture of some size."""
    sources, weights, count = token_sources(size, config.image_size, config.patch_size, tiled, config.most_views)
    return TileMap(torch.tensor(sources, device=device), torch.tensor(weights, device=device), count)


def visual_tokens(model: Foveate, features: Tensor, layout: TileMap) -> Tensor:
    """Tower rows [batch, views, patches, width] to visual tokens [batch, tokens, hidden]."""
    projected = model.model.mm_projector(features.flatten(1, 2))
    if layout.views == 1:
        return projected
    newline = model.model.image_newline.to(projected.dtype).expand(len(projected), 1, -1)
    rows = torch.cat([projected, newline], 1)
    table = rows.new_zeros(len(layout.sources), rows.shape[1])
    table.scatter_add_(1, layout.sources, layout.weights.to(rows.dtype))
    return torch.matmul(table, rows)


def tower_rows(model: Foveate, pictures: Tensor) -> Tensor:
    """uint8 or float views [batch, views, side, side, 3] to [batch, views, patches, width]."""
    return model.patch_features(pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2])
