"""Hand-written programs with the signature of generated kernels, for tests of what runs kernels."""

from functools import cache

from triton_cpu import native

SIGNATURE = "ptr %args, i32 %x, i32 %y, i32 %z, i32 %gx, i32 %gy, i32 %gz"

# Slot 0: i64 counters, one for each program. Adds 1 to that of (x, y, z).
COUNT = f"""
define void @count({SIGNATURE}) {{
  %counters = load ptr, ptr %args
  %zy = mul i32 %z, %gy
  %row = add i32 %zy, %y
  %rowx = mul i32 %row, %gx
  %id = add i32 %rowx, %x
  %p = getelementptr i64, ptr %counters, i32 %id
  %before = load i64, ptr %p
  %after = add i64 %before, 1
  store i64 %after, ptr %p
  ret void
}}
"""

# Slots: i64 in, i64 out, scale, shift, n. Program x sets out[x] = in[(x + 1) % n] * scale + shift: it needs
# what its neighbour left in the launch before.
MIX = f"""
define void @mix({SIGNATURE}) {{
  %in = load ptr, ptr %args
  %p_out = getelementptr i64, ptr %args, i64 1
  %out = load ptr, ptr %p_out
  %p_scale = getelementptr i64, ptr %args, i64 2
  %scale = load i64, ptr %p_scale
  %p_shift = getelementptr i64, ptr %args, i64 3
  %shift = load i64, ptr %p_shift
  %p_n = getelementptr i64, ptr %args, i64 4
  %n = load i32, ptr %p_n
  %next = add i32 %x, 1
  %neighbour = urem i32 %next, %n
  %p = getelementptr i64, ptr %in, i32 %neighbour
  %value = load i64, ptr %p
  %scaled = mul i64 %value, %scale
  %shifted = add i64 %scaled, %shift
  %q = getelementptr i64, ptr %out, i32 %x
  store i64 %shifted, ptr %q
  ret void
}}
"""


@cache
def address(llvm_ir: str, symbol: str) -> int:
    return native.load_object(native.compile_ir(llvm_ir), symbol)
