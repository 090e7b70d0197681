"""Which prefixes of tokens somebody has computed before, and which blocks hold their memory."""

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from runtime.memory.common_length import common_length
from runtime.memory.eviction import EvictionPolicy, EvictionQueue
from runtime.memory.kv_block_allocator import KVBlockAllocator
from runtime.memory.radix_node import RadixNode


class Match(NamedTuple):
    """The memory of the first `length` tokens lies in `blocks`, the last of which may be filled in part. The tree has
    seen the first `known` tokens, known >= length: where they end, sequences go different ways, so that a recurrent
    state kept there would have spared some of the work."""

    length: int
    blocks: tuple[int, ...]
    known: int


class RadixPrefixIndex:
    """A compressed radix tree over tokens; the one policy decides which blocks go first.

    truncates: the memory is pages of keys and values, which hold a sequence's prefixes too. Each node has the pages
    that its tokens touch, and a path has from each page index that of its deepest node (a sequence that branches off
    inside a page has a page of its own there, which repeats what came before). Matches end anywhere, also inside a
    page.

    Not truncates: the memory is one block, a recurrent state after exactly so many tokens (block_size is larger than
    any sequence). A node may have the one after its last token; matches end at those.

    The index refers to blocks through the allocator, beside the page tables that hold them. Nobody writes to them.
    """

    def __init__(self, allocator: KVBlockAllocator, block_size: int, truncates: bool, policy: EvictionPolicy) -> None:
        self._allocator = allocator
        self._block_size = block_size
        self._truncates = truncates
        self._policy = policy
        self._plant()

    def match(self, tokens: Sequence[int]) -> Match:
        """The longest prefix of `tokens` whose memory is there. Counts as a use of it, and changes nothing else.

        The caller shares the blocks before anything is evicted.
        """
        path, known = self._descend(array("i", tokens))
        if not self._truncates:
            return self._match_state(path, known)
        table: list[int] = []
        for node in path:
            table[node.start // self._block_size :] = node.blocks
            self._queue.use(node)
        return Match(known, tuple(table[: self._pages(known)]), known)

    def insert(self, tokens: Sequence[int], blocks: Sequence[int]) -> None:
        """Remembers that the memory of all `tokens` lies in `blocks`; refers to those it had nothing for."""
        assert len(blocks) >= self._pages(len(tokens)), f"{len(tokens)} tokens do not fit in {len(blocks)} blocks"
        tokens = array("i", tokens)
        path, known = self._descend(tokens)
        node = path[-1]
        if known < node.end and (known < len(tokens) or not self._truncates):
            path[-1] = node = self._split(node, known)
        if known < len(tokens):
            first, last = known // self._block_size, self._pages(len(tokens))
            path.append(self._append(node, tokens[known:], list(blocks[first:last])))
        if not self._truncates:
            self._keep_state(path[-1], blocks)
            return
        for node in path:
            self._queue.use(node)
        if self._is_end(path[-1]):
            self._queue.push(path[-1])

    def evict(self, count: int) -> int:
        """Frees `count` of the blocks that only the index has, or all of them if there are not so many; returns how
        many became free (one more than asked if a page goes with the last that nobody needs without it).

        Pages go from the ends of paths. What a page table holds stays, as it would free nothing, unless it alone
        stands between what has to go and the end of its path.
        """
        before = self._allocator.free_blocks
        target = before + min(count, self._allocator.cached_blocks)
        held: list[RadixNode] = []
        while self._allocator.free_blocks < target:
            node = self._queue.pop()
            if node is None:
                node = next(node for node in held if self._is_in_the_way(node))
                held.remove(node)
            elif self._allocator.holders(node.blocks[-1]):
                held.append(node)
                continue
            self._drop_last(node)
        for node in held:
            self._queue.refresh(node)  # in use: not to be met again by every call
            self._queue.push(node)
        return self._allocator.free_blocks - before

    def clear(self) -> None:
        """Forgets everything."""
        for node in self._nodes():
            self._allocator.uncache(node.blocks)
        self._plant()

    def check(self) -> None:
        """The structure is that of a compressed tree, and the allocator knows of exactly the references in it."""
        nodes = list(self._nodes())
        references = Counter(block for node in nodes for block in node.blocks)
        for block in range(self._allocator.total):
            assert references[block] == self._allocator.index_references(block), f"block {block} is counted wrongly"
        assert self.nodes == len(nodes) - 1 and self.tokens == sum(len(node.edge) for node in nodes)
        for node in nodes:
            assert node.queued == self._is_end(node), "the queue has what can be evicted, and nothing else"
            for token, child in node.children.items():
                assert child.parent is node and child.start == node.end and child.edge[0] == token
            if node is self._root:
                assert not node.edge and not node.blocks
            elif self._truncates:
                assert len(node.blocks) == self._pages(node.end) - node.start // self._block_size
                assert node.edge and len(node.children) != 1, "a node that could be one with its child"
            else:
                assert node.edge and len(node.blocks) <= 1
                assert node.blocks or len(node.children) > 1, "a node that could be one with its child"

    def _plant(self) -> None:
        self._root = RadixNode(None, 0, array("i"), [])
        self._queue = EvictionQueue(self._policy, self._cost)
        self.tokens = 0  # on all edges
        self.nodes = 0  # without the root

    def _nodes(self) -> Iterator[RadixNode]:
        stack = [self._root]
        while stack:
            node = stack.pop()
            stack += node.children.values()
            yield node

    def _pages(self, tokens: int) -> int:
        return -(-tokens // self._block_size)

    def _descend(self, tokens: "array[int]") -> tuple[list[RadixNode], int]:
        """The nodes that `tokens` leads along, from the root, the last perhaps in part; and how far it gets."""
        path, known = [self._root], 0
        while known == path[-1].end and known < len(tokens):
            child = path[-1].children.get(tokens[known])
            if child is None:
                break
            path.append(child)
            known += common_length(tokens[known : child.end], child.edge)
        return path, known

    def _match_state(self, path: list[RadixNode], known: int) -> Match:
        for node in reversed(path):
            if node.blocks and node.end <= known:
                self._queue.use(node)  # and not those above: they were not needed
                return Match(node.end, tuple(node.blocks), known)
        return Match(0, (), known)

    def _keep_state(self, node: RadixNode, blocks: Sequence[int]) -> None:
        if not node.blocks and node is not self._root:
            node.blocks = list(blocks[:1])
            self._allocator.cache(node.blocks)
        self._queue.use(node)
        if self._is_end(node):
            self._queue.push(node)

    def _split(self, node: RadixNode, at: int) -> RadixNode:
        """Cuts an edge in two; returns the upper half. The page that the cut goes through belongs to both."""
        first = node.start // self._block_size
        upper = node.split(at)
        self.nodes += 1
        if self._truncates:
            upper.inherit(node)
            upper.blocks = node.blocks[: self._pages(at) - first]
            node.blocks = node.blocks[at // self._block_size - first :]
            if at % self._block_size:
                self._allocator.cache(upper.blocks[-1:])
        return upper

    def _append(self, node: RadixNode, edge: "array[int]", blocks: list[int]) -> RadixNode:
        """Adds tokens behind a node, with the pages that they touch; returns the node that has them now."""
        self.tokens += len(edge)
        if self._truncates and self._is_end(node):
            full = node.end // self._block_size - node.start // self._block_size
            self._allocator.cache(blocks)
            self._allocator.uncache(node.blocks[full:])  # filled in part: the first of the new pages has that too
            node.blocks[full:] = blocks
            node.edge += edge
            return node
        self.nodes += 1
        leaf = RadixNode(node, node.end, edge, [])
        node.children[edge[0]] = leaf
        if self._truncates:
            self._allocator.cache(blocks)
            leaf.blocks = blocks
        return leaf

    def _is_end(self, node: RadixNode) -> bool:
        """Whether the node's last block can go."""
        if self._truncates:
            return not node.children and node is not self._root
        return bool(node.blocks)

    def _cost(self, node: RadixNode) -> int:
        """Tokens that have to be computed again if the node's last block goes."""
        if self._truncates:
            return node.end - max(node.start, (node.end - 1) // self._block_size * self._block_size)
        above = node.parent
        while above and above.parent and not above.blocks:
            above = above.parent
        return node.end - (above.end if above else 0)

    def _is_in_the_way(self, node: RadixNode) -> bool:
        """Whether blocks that only the index has lie before the end of this path."""
        above: RadixNode | None = node
        while above and all(map(self._allocator.holders, above.blocks)):
            above = above.parent
        return above is not None

    def _drop_last(self, node: RadixNode) -> None:
        """Gives up the node's last block, and the tokens that are nowhere else."""
        self._allocator.uncache((node.blocks.pop(),))
        if self._truncates and node.blocks:
            kept = (node.start // self._block_size + len(node.blocks)) * self._block_size - node.start
            self.tokens -= len(node.edge) - kept
            del node.edge[kept:]
            self._queue.push(node)
            return
        if not node.blocks and not node.children:
            self.nodes -= 1
            self.tokens -= len(node.edge)
            node = node.remove()
        if len(node.children) == 1 and node is not self._root and (self._truncates or not node.blocks):
            self._join(node)
        elif self._is_end(node):
            self._queue.push(node)

    def _join(self, node: RadixNode) -> None:
        """Makes one of a node and its only child, which has the page that they share, or repeats what is in it."""
        (child,) = node.children.values()
        own = child.start // self._block_size - node.start // self._block_size
        child.join_parent()
        self.nodes -= 1
        if self._truncates:
            child.inherit(node)
            child.blocks[:0] = node.blocks[:own]
            self._allocator.uncache(node.blocks[own:])
