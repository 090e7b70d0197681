import ctypes
from types import SimpleNamespace

import pytest

from triton_cpu import native
from triton_cpu.errors import NativeCodeError, UnsupportedMachineError

ANSWER = "define i32 @answer() {{ ret i32 {} }}"


def _call(address: int) -> int:
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)()


def test_objects_with_one_symbol_do_not_meet() -> None:
    addresses = [native.load_object(native.compile_ir(ANSWER.format(n)), "answer") for n in (1, 2, 3)]
    assert [_call(address) for address in addresses] == [1, 2, 3]


def test_imports_are_linked() -> None:
    seven = native.load_object(native.compile_ir(ANSWER.format(7)), "answer")
    twice = native.compile_ir(
        "declare i32 @seven()\n"
        "define i32 @twice() { %a = call i32 @seven()\n %b = add i32 %a, %a\n ret i32 %b }"
    )
    assert _call(native.load_object(twice, "twice", {"seven": seven})) == 14


@pytest.mark.parametrize(
    "text",
    [
        "define void @f() { nonsense }",
        "define i32 @f() { ret i32 %missing }",
        "define void @f() { call void @nobody()\n ret void }",
    ],
)
def test_bad_ir_is_refused(text: str) -> None:
    with pytest.raises(NativeCodeError, match="LLVM IR is invalid"):
        native.compile_ir(text)


def test_missing_symbols_are_reported() -> None:
    with pytest.raises(NativeCodeError, match="cannot load nothing"):
        native.load_object(native.compile_ir(ANSWER.format(1)), "nothing")
    with pytest.raises(NativeCodeError, match="cannot load answer"):
        native.load_object(b"not an object", "answer")
    dangling = native.compile_ir(
        "declare void @nobody_has_this()\ndefine void @f() { call void @nobody_has_this() ret void }"
    )
    with pytest.raises(NativeCodeError, match="cannot load f"):
        native.load_object(dangling, "f")


@pytest.mark.skipif(not native.host_machine().has("avx512f"), reason="needs AVX-512")
def test_contracted_products_are_fused_at_full_width() -> None:
    text = native.assembly("""
define void @f(ptr %p, <16 x float> %x, <16 x float> %y) {
  %a = load <16 x float>, ptr %p
  %b = fmul contract <16 x float> %x, %y
  %c = fadd contract <16 x float> %a, %b
  store <16 x float> %c, ptr %p
  ret void
}
""")
    (fused,) = [line for line in text.splitlines() if "vfmadd" in line]
    assert "zmm" in fused
    assert "vmulps" not in text


def test_other_systems_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(UnsupportedMachineError, match=r"need Linux .* TRITON_INTERPRET=1"):
        native.host_machine.__wrapped__()


@pytest.mark.parametrize("is_granted", [True, False])
def test_tiles_are_used_where_the_system_grants_them(monkeypatch: pytest.MonkeyPatch, is_granted: bool) -> None:
    features = SimpleNamespace(flatten=lambda: "+avx512f,+amx-bf16")
    monkeypatch.setattr(native.llvm, "get_host_cpu_features", lambda: features)
    monkeypatch.setattr(native, "_may_use_tiles", lambda: is_granted)
    assert native.host_machine.__wrapped__().has_tiles is is_granted
