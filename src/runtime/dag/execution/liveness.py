"""Which handles, and which prefixes of forks, a run can still use: others are given back at once."""

from collections.abc import Iterator

from runtime.dag.document.node import GenerateSubgraph, LlmCall, NativeCall, Node, ToolCall
from runtime.dag.execution.outlook import ahead
from runtime.dag.execution.program import Program
from runtime.dag.execution.reach import Nodes
from runtime.dag.execution.reads import STAGE, Fields, union
from runtime.dag.execution.region import Region
from runtime.dag.inference.driver import InferenceDriver
from runtime.dag.json_value import texts_in
from runtime.dag.tools.tool_registry import ToolRegistry

SNAPSHOTS = "ctx_snapshots"  # as templates see them


class Liveness:
    """Knows all regions of a run. A handle is alive while a region has it in a field that a node may read which can
    still run there, or where the region returns to. driver: None without a model: there is nothing to give back."""

    def __init__(self, driver: InferenceDriver | None, tools: ToolRegistry) -> None:
        self._driver = driver
        self._tools = tools
        self._regions: list[Region] = []
        self._ended: list[Region] = []  # branches whose fork has not ended yet: what they leave is still to be merged
        self._forks: list[str] = []
        self._inferring: dict[Program, Nodes] = {}

    def enter(self, region: Region) -> None:
        self._regions.append(region)
        if region.siblings is not None and region.fork is not None and region.fork not in self._forks:
            self._forks.append(region.fork)

    def leave(self, region: Region) -> None:
        self._regions.remove(region)
        if region.siblings is not None:
            self._ended.append(region)

    def fork_ended(self, fork: str) -> None:
        """What its branches have left is its region's, or nobody's."""
        self._ended = [region for region in self._ended if region.fork != fork]

    def collect(self) -> None:
        """Gives back what nobody can use any more."""
        driver = self._driver
        if driver is None:
            return
        if len(driver.handles):
            alive = {name for region in (*self._regions, *self._ended) for name in self._names(region)}
            for name in driver.handles.names - alive:
                driver.handles.release(name)
        for fork in list(self._forks):
            if not any(region.fork == fork and self._infers(region) for region in self._regions):
                self._forks.remove(fork)
                driver.end_fork(fork)

    def _names(self, region: Region) -> Iterator[str]:
        fields = union(_reads(each) for each in _and_callers(region))
        if fields is None or STAGE in fields or SNAPSHOTS in fields:  # what is in no snapshot yet may be in the next
            contexts = [region.context]
        else:
            contexts = [{key: region.context[key] for key in (*fields, STAGE) if key in region.context}]
        if region.merging is not None:
            contexts += [branch.context for branch in region.merging.branches]
        if fields is None or SNAPSHOTS in fields:
            contexts += region.snapshots.as_json().values()
        return texts_in(contexts)

    def _infers(self, region: Region) -> bool:
        """Whether a node that may still run in it asks a model for something."""
        program = region.program
        nodes = program.reach.onwards(ahead(region))
        if program not in self._inferring:
            asking = [place.node.path for place in program.places if infers(place.node, self._tools)]
            self._inferring[program] = program.reach.set_of(asking)
        return bool(nodes & self._inferring[program])


def infers(node: Node, tools: ToolRegistry) -> bool:
    """Whether the node asks a model for something."""
    body = node.body
    if isinstance(body, ToolCall):
        return body.tool in tools and tools.get(body.tool).is_llm
    return isinstance(body, LlmCall | NativeCall | GenerateSubgraph)


def _reads(region: Region) -> Fields:
    """What it may look at, and what it returns: that is remembered, whether or not its caller looks at it this time."""
    program, graph = region.program, region.frame.graph
    outputs = graph.signature.outputs if graph is not None and graph.signature is not None else ()
    inside = program.reads(program.reach.onwards(ahead(region)))
    return union([inside, frozenset(field.name for field in outputs)])


def _and_callers(region: Region) -> Iterator[Region]:
    each: Region | None = region
    while each is not None:
        yield each
        each = each.parent
