"""Branches that have ended, on the way to where they become one again."""

from collections.abc import Mapping
from typing import NamedTuple

from runtime.dag.context.merge import BranchResult, merge
from runtime.dag.document.node import MergeStrategy
from runtime.dag.json_value import JsonObject


class Merging(NamedTuple):
    """base: the context at the fork. path: of the fork."""

    base: JsonObject
    branches: tuple[BranchResult, ...]
    path: str

    def merged(self, strategy: MergeStrategy, policy: Mapping[str, MergeStrategy], *, allows_equal: bool) -> JsonObject:
        """Raises NodeError (CTX_MERGE_CONFLICT)."""
        return merge(self.base, self.branches, strategy, policy, allows_equal=allows_equal)
