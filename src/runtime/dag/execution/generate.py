"""`generate_subgraph`: a model writes graphs, which are checked, and then are there to be called."""

from dataclasses import replace

from runtime.dag.contract.permission import Permission
from runtime.dag.document.body_readers import DEFAULT_LLM_TOOL
from runtime.dag.document.document import Document
from runtime.dag.document.node import GenerateSubgraph
from runtime.dag.document.parser import parse_document
from runtime.dag.document.validator import validate
from runtime.dag.errors import Code, NodeError, Problem
from runtime.dag.execution.step import Step
from runtime.dag.execution.tool_use import called

OF_SIGNATURES = (Code.SIGNATURE_VIOLATION, Code.SIGNATURE_REQUIRED)


async def generate(step: Step, body: GenerateSubgraph) -> None:
    """Registers what the model has written, for all of the region that runs from now on. Raises NodeError: GENERATION
    for what is no document, NAMESPACE_VIOLATION for graphs that may not be there, SIGNATURE_VIOLATION, and what else is
    wrong with the graphs."""
    step.grant.require(Permission("generate_subgraph", "", step.region.frame.generated + 1))
    arguments = {**step.value(body.params), "prompt": step.text(body.prompt_template)}
    payload = await called(step, DEFAULT_LLM_TOOL, arguments, may=True)
    text = payload.get("text", "") if isinstance(payload, dict) else str(payload)
    validation = body.validation or ("strict" if step.run.document.meta.is_strict else "warn")
    generated = _checked(step, body, parse_document(text, step.node.path, "tolerant"), validation)
    paths = [graph.path for graph in generated.graphs]
    step.region.program = step.region.program.with_graphs(generated.graphs)
    native = step.notes.native
    step.notes.generate_subgraph = {
        "generated_paths": paths,
        "signature_validation": validation,
        "validation_passed": True,
        "prompt_tokens": None if native is None else native.prompt_tokens,
        "completion_tokens": None if native is None else native.completion_tokens,
    }
    step.put(paths[0] if len(paths) == 1 else paths, body.output_keys[:1], {})


def _checked(step: Step, body: GenerateSubgraph, document: Document, validation: str) -> Document:
    """The document, if it can run here."""
    if not document.graphs:
        why = f": {document.problems[0].text}" if document.problems else ""
        raise NodeError(Code.GENERATION, f"the model has written no block of AgenticDSL{why}")
    if body.max_blocks is not None and len(document.graphs) > body.max_blocks:
        text = f"the model has written {len(document.graphs)} blocks; {body.max_blocks} are allowed (max_blocks)"
        raise NodeError(Code.GENERATION, text)
    outside = [graph.path for graph in document.graphs if not graph.path.startswith(body.namespace_prefix)]
    if outside or document.meta.line or document.resources:
        what = outside[0] if outside else "/__meta__"
        text = f"the model has written {what[:80]}; it may only write under {body.namespace_prefix}"
        raise NodeError(Code.NAMESPACE_VIOLATION, text, {"paths": outside})
    program, tools = step.region.program, step.run.tools
    meta = replace(step.run.document.meta, entry_point=document.graphs[0].first.path)
    library = program.library.with_document(program.document)
    found = validate(replace(document, meta=meta), library, tools.capabilities())
    signatures = [problem for problem in found if problem.code in OF_SIGNATURES]
    faults = [problem for problem in found if problem.is_error and problem.code not in OF_SIGNATURES]
    if faults:
        raise _error(faults, faults[0].code)
    if signatures and validation == "strict":
        raise _error(signatures, Code.SIGNATURE_VIOLATION)
    if signatures and validation == "warn":
        step.notes.metadata["signature_problems"] = [str(problem) for problem in signatures]
    return document


def _error(problems: list[Problem], code: Code) -> NodeError:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    text = f"what the model has written cannot run: {problems[0].text}{more}"
    return NodeError(code, text, {"problems": list(map(str, problems))})
