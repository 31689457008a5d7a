"""Count the windows of a gallery that are at least as similar as the partner: in float32, and if in doubt in float64.

Float32 takes about 0.6 of the time. Its largest possible error is known (Higham, 2002, doi:10.1137/1.9780898718027,
section 3.1): similarities closer to the threshold than that are computed again, so that counts are those of float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TILE = 16
"""Blocks of the gallery that a block of queries is compared with at a time; they fit into the cache of a processor."""
_SMALL = 64
"""Largest number of windows, for example of a clip, that are compared in float64 at once; affects only the speed."""
_MOST_SLACK = 1e-3
"""Largest error at which float32 is used; it is larger for example for vectors much longer than unit vectors."""
_MOST_DOUBT = 1 / 256
"""Share of doubtful similarities above which a whole tile is computed again; affects only the speed."""


def count_as_similar(
    query_ND: Tensor, gallery_ND: Tensor, least_query_N: Tensor, least_gallery_N: Tensor, block: int
) -> tuple[Tensor, Tensor]:
    """Count for each query the similar rows of the gallery, [N], and for each row the similar queries, [N].

    Similar means at least as similar as the threshold of the query or of the row.

    `block` queries are compared with a part of the gallery at a time.
    """
    if max(len(query_ND), len(gallery_ND)) <= _SMALL:
        return _Tile(query_ND, gallery_ND, least_query_N, least_gallery_N).count()
    of_query_N = torch.zeros_like(least_query_N, dtype=torch.int64)
    of_gallery_N = torch.zeros_like(of_query_N)
    slack = float32_slack(query_ND, gallery_ND)
    quick_query_ND, quick_gallery_ND = query_ND.float(), gallery_ND.float()
    many = min(TILE * block, len(gallery_ND))
    space_3BG = torch.empty(3, min(block, len(query_ND)), many, device=query_ND.device)  # allocating memory is slow
    for query in _slices(len(query_ND), block):
        quick = slack <= _MOST_SLACK
        for gallery in _slices(len(gallery_ND), TILE * block):
            tile = _Tile(query_ND[query], gallery_ND[gallery], least_query_N[query], least_gallery_N[gallery])
            found = None
            if quick:
                similarity_BG, *spare = space_3BG[:, : len(tile.query_BD), : len(tile.gallery_GD)]
                torch.mm(quick_query_ND[query], quick_gallery_ND[gallery].T, out=similarity_BG)
                found = tile.count_quickly(similarity_BG, spare, slack)
            quick = found is not None  # if one tile has many doubts, so have the others of these queries
            of_query_B, of_gallery_G = found or tile.count()
            of_query_N[query] += of_query_B
            of_gallery_N[gallery] += of_gallery_G
    return of_query_N, of_gallery_N


def float32_slack(query_ND: Tensor, gallery_ND: Tensor) -> float:
    """Return the largest error of float32 similarities and thresholds; infinite if it is not known."""
    if query_ND.device.type != "cpu" or torch.get_float32_matmul_precision() != "highest":
        return float("inf")
    longest: float = (query_ND.norm(dim=1).max() * gallery_ND.norm(dim=1).max()).item()
    # One rounding for each product and sum, and a few for vectors and thresholds.
    return (query_ND.shape[1] + 8) * torch.finfo(torch.float32).eps / 2 * (longest + 1e-6)


@dataclass(frozen=True)
class _Tile:
    """B queries and G rows of the gallery, float64."""

    query_BD: Tensor
    gallery_GD: Tensor
    least_query_B: Tensor
    least_gallery_G: Tensor

    def count(self) -> tuple[Tensor, Tensor]:
        """Count for each query and for each row of the gallery."""
        similarity_BG = self.query_BD @ self.gallery_GD.T
        return (
            (similarity_BG >= self.least_query_B[:, None]).float().sum(dim=1).long(),
            (similarity_BG >= self.least_gallery_G).float().sum(dim=0).long(),
        )

    def count_quickly(self, similarity_BG: Tensor, spare: list[Tensor], slack: float) -> tuple[Tensor, Tensor] | None:
        """Count from float32 similarities, with two spare matrices; None if too many are in doubt."""
        of_query_B = self._beyond_doubt(similarity_BG, self.least_query_B[:, None], spare, slack, dim=1)
        if of_query_B is None:
            return None
        of_gallery_G = self._beyond_doubt(similarity_BG, self.least_gallery_G, spare, slack, dim=0)
        return None if of_gallery_G is None else (of_query_B, of_gallery_G)

    def _beyond_doubt(
        self, similarity_BG: Tensor, least: Tensor, spare: list[Tensor], slack: float, dim: int
    ) -> Tensor | None:
        surely_BG, maybe_BG = (
            _reached(similarity_BG, (least + off).float(), to_BG)
            for off, to_BG in zip((slack, -slack), spare, strict=True)
        )
        count = surely_BG.sum(dim=dim).long()
        doubts = int((maybe_BG.sum(dim=dim).long() - count).sum())
        if doubts > _MOST_DOUBT * similarity_BG.numel():
            return None
        if doubts:
            place_2P = (surely_BG != maybe_BG).nonzero().T
            exact_P = (self.query_BD[place_2P[0]] * self.gallery_GD[place_2P[1]]).sum(dim=1)
            reached_P = exact_P >= least.expand_as(similarity_BG)[place_2P[0], place_2P[1]]
            count += torch.bincount(place_2P[1 - dim][reached_P], minlength=len(count))
        return count


def _reached(similarity_BG: Tensor, least: Tensor, to_BG: Tensor) -> Tensor:
    """Return 1 and 0 as numbers, which are added several times faster than booleans; sums up to 2^24 are exact."""
    return torch.ge(similarity_BG, least, out=to_BG)


def _slices(count: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, count, size)]
