"""The tools that every engine of documents has: one that calculates, and two that stand for the world outside."""

from runtime.dag.json_value import JsonObject
from runtime.dag.tools.tool_registry import ToolRegistry


def calculate(a: float, b: float, op: str) -> JsonObject:
    """Adds, subtracts, multiplies or divides: {"result": number}, or {"error": text}."""
    if op == "+":
        return {"result": a + b}
    if op == "-":
        return {"result": a - b}
    if op == "*":
        return {"result": a * b}
    if op != "/":
        return {"error": f"Unknown operator: {op}"}
    return {"result": a / b} if b else {"error": "Division by zero"}


def web_search(query: str) -> JsonObject:
    """Searches nothing: says what it would have searched for."""
    return {"results": f"[MOCK] Search results for: {query}"}


def get_weather(location: str) -> JsonObject:
    """Tells the same fine weather, wherever."""
    return {"location": location, "condition": "Sunny", "temperature_c": 22}


def add_default_tools(registry: ToolRegistry) -> None:
    for function in (calculate, web_search, get_weather):
        registry.register(function.__name__, function, deterministic=True)
