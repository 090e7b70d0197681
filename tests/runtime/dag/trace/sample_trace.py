"""A trace as a run of eight branches would leave it, made up."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from runtime.dag.trace.record import MemorySample, NativeInference, TraceRecord

BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def record(number: int, path: str, kind: str, started: float, ended: float, **others: object) -> TraceRecord:
    def text(time: float) -> str:
        return (BEGIN + timedelta(seconds=time)).isoformat().replace("+00:00", "Z")

    fixed = TraceRecord(
        trace_id="t",
        number=number,
        node_path=path,
        type=kind,
        branch=(),
        depth=0,
        start_time=text(started),
        end_time=text(ended),
        started=started,
        ended=ended,
        status="success",
        mode="dev",
    )
    return replace(fixed, **others)


def inference(request: int, submitted: float, first: float, finished: float, steps: tuple[int, int]) -> NativeInference:
    return NativeInference(
        request=request,
        model="llama-4m",
        prompt_tokens=1200,
        completion_tokens=40,
        reused_tokens=1150,
        prefilled_tokens=50,
        finish_reason="stop",
        submitted=submitted,
        first_token=first,
        finished=finished,
        steps=steps,
        batch_size=6.5,
        peak_blocks=78,
        drafted=30,
        drafts_kept=21,
    )


def sample_records() -> list[TraceRecord]:
    records = [
        record(0, "/main/start", "start", 0.0, 0.001, next_paths=("/main/load",)),
        record(1, "/main/load", "assign", 0.001, 0.004, context_delta={"text": "It was a dark night. " * 30}),
        record(2, "/main/fork", "fork", 0.004, 0.006, next_paths=tuple(f"/main/ask{i}" for i in range(8))),
    ]
    for i in range(8):
        begin, end = 0.02 + 0.002 * i, 1.4 + 0.09 * (i * 5 % 8)
        native = inference(i, begin, 0.62 + 0.01 * i, end, (1, int(end * 60)))
        records.append(
            record(
                3 + i,
                f"/main/ask{i}",
                "llm_call",
                begin,
                end,
                branch=(i,),
                context_delta={f"answer{i}": {"mood": ["dark", "stormy"], "certain": i % 2 == 0, "score": 0.1 * i}},
                native_inference=native,
                llm_call={"model": "llama-4m", "prompt_tokens": 1200, "completion_tokens": 40},
                budget_snapshot={"nodes_left": 30 - i, "tokens_left": None},
            )
        )
    records[8] = replace(
        records[8], status="failed", error_code="ERR_SIGNATURE_VIOLATION", error="parsed_output is no object"
    )
    records += [
        record(11, "/lib/reasoning/fallback_structured@v1", "assign", records[8].ended, records[8].ended + 0.002,
               branch=(5,), depth=1, fallback_from="/main/ask5"),
        record(12, "/main/join", "join", 2.05, 2.06, next_paths=("/main/check",)),
        record(13, "/main/check", "assert", 2.06, 2.061, next_paths=("/main/search",)),
        record(14, "/main/search", "tool_call", 2.061, 2.5, tool_call={"tool": "web_search", "latency_ms": 439}),
        record(15, "/main/end", "end", 2.5, 2.5, status="cancelled"),
    ]  # fmt: skip
    return records


def sample_memory() -> list[MemorySample]:
    samples = []
    for step in range(120):
        time = 0.03 + 0.0165 * step + (0.5 if step > 2 else 0)
        running = sum(time < 1.4 + 0.09 * (i * 5 % 8) for i in range(8)) if time < 2.05 else 0
        held = 75 + step // 12 * running if running else 0
        samples.append(MemorySample(time, step, held, 150 - held if step > 40 else 10, 512 - 150, running))
    return samples


HOSTILE = "</script><img src=x onerror=document.title='owned'>&\"'<!--\u2028\ud800"
