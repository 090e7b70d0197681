"""The native launcher, as LLVM IR: runs a list of launches over a team of OpenMP threads.

A launch is a record of a 24-byte header and one 8-byte slot for each kernel argument:

    ptr function | i32 grid x, y, z | i32 bytes of the whole record | slots ...

Records lie one behind the other. `run_launches(begin, bytes, threads)` runs them in order. A launch of at
least two programs is shared by the team: threads take runs of neighbouring programs (x fastest) from an
atomic counter, large runs first and small ones last, so that memory is read in long streams and all threads
finish together. Between launches the team meets at a barrier. Its last arriver moves on to the next shared
launch, and runs launches of one program that stand before it by itself, so these cost no barrier of their
own.
"""

# A thread that waits longer than this many turns gives its time slice away: with more threads than cores the
# one that is waited for may not be running at all. About 20 microseconds.
SPIN_TURNS = 1000

_SPIN_HINT = {"x86_64": "pause", "aarch64": "yield"}

_TEXT = """
%launch = type {{ ptr, i32, i32, i32, i32 }}
; Each counter has a cache line of its own. 0 launch being shared, 1 its programs, 2 launch after it, 3 end of
; the list; 5 next program to take; 7 threads that have arrived at the barrier; 9 barriers passed
%team = type {{ ptr, i64, ptr, ptr, [32 x i8], i64, [56 x i8], i32, [60 x i8], i32, [60 x i8] }}

declare void @GOMP_parallel(ptr, ptr, i32, i32)
declare i32 @omp_get_num_threads()
declare i32 @sched_yield()

define internal i64 @programs(ptr %record) alwaysinline {{
  %p_x = getelementptr %launch, ptr %record, i32 0, i32 1
  %p_y = getelementptr %launch, ptr %record, i32 0, i32 2
  %p_z = getelementptr %launch, ptr %record, i32 0, i32 3
  %grid_x = load i32, ptr %p_x
  %grid_y = load i32, ptr %p_y
  %grid_z = load i32, ptr %p_z
  %x = zext i32 %grid_x to i64
  %y = zext i32 %grid_y to i64
  %z = zext i32 %grid_z to i64
  %xy = mul i64 %x, %y
  %xyz = mul i64 %xy, %z
  ret i64 %xyz
}}

define internal ptr @following(ptr %record) alwaysinline {{
  %p_bytes = getelementptr %launch, ptr %record, i32 0, i32 4
  %bytes = load i32, ptr %p_bytes
  %next = getelementptr i8, ptr %record, i32 %bytes
  ret ptr %next
}}

define internal void @run_programs(ptr %record, i64 %begin, i64 %end) noinline {{
entry:
  %empty = icmp uge i64 %begin, %end
  br i1 %empty, label %done, label %start
start:
  %function = load ptr, ptr %record
  %slots = getelementptr %launch, ptr %record, i32 1
  %p_x = getelementptr %launch, ptr %record, i32 0, i32 1
  %p_y = getelementptr %launch, ptr %record, i32 0, i32 2
  %p_z = getelementptr %launch, ptr %record, i32 0, i32 3
  %grid_x = load i32, ptr %p_x
  %grid_y = load i32, ptr %p_y
  %grid_z = load i32, ptr %p_z
  %wide_x = zext i32 %grid_x to i64
  %wide_y = zext i32 %grid_y to i64
  %first_x = urem i64 %begin, %wide_x
  %rows = udiv i64 %begin, %wide_x
  %first_y = urem i64 %rows, %wide_y
  %first_z = udiv i64 %rows, %wide_y
  %start_x = trunc i64 %first_x to i32
  %start_y = trunc i64 %first_y to i32
  %start_z = trunc i64 %first_z to i32
  br label %program
program:
  %id = phi i64 [ %begin, %start ], [ %next_id, %program ]
  %x = phi i32 [ %start_x, %start ], [ %next_x, %program ]
  %y = phi i32 [ %start_y, %start ], [ %next_y, %program ]
  %z = phi i32 [ %start_z, %start ], [ %next_z, %program ]
  call void %function(ptr %slots, i32 %x, i32 %y, i32 %z, i32 %grid_x, i32 %grid_y, i32 %grid_z)
  %x1 = add i32 %x, 1
  %row_done = icmp eq i32 %x1, %grid_x
  %next_x = select i1 %row_done, i32 0, i32 %x1
  %carry_y = zext i1 %row_done to i32
  %y1 = add i32 %y, %carry_y
  %plane_done = icmp eq i32 %y1, %grid_y
  %next_y = select i1 %plane_done, i32 0, i32 %y1
  %carry_z = zext i1 %plane_done to i32
  %next_z = add i32 %z, %carry_z
  %next_id = add i64 %id, 1
  %last = icmp eq i64 %next_id, %end
  br i1 %last, label %done, label %program
done:
  ret void
}}

; Runs launches of one program, up to the next launch to share. False when the list is at its end.
define internal i1 @advance(ptr %team) {{
entry:
  %p_current = getelementptr %team, ptr %team, i32 0, i32 0
  %p_programs = getelementptr %team, ptr %team, i32 0, i32 1
  %p_cursor = getelementptr %team, ptr %team, i32 0, i32 2
  %p_end = getelementptr %team, ptr %team, i32 0, i32 3
  %p_next = getelementptr %team, ptr %team, i32 0, i32 5
  %cursor = load ptr, ptr %p_cursor
  %end = load ptr, ptr %p_end
  br label %check
check:
  %record = phi ptr [ %cursor, %entry ], [ %after_small, %small ]
  store ptr %record, ptr %p_current
  %at_end = icmp eq ptr %record, %end
  br i1 %at_end, label %finish, label %look
look:
  %programs = call i64 @programs(ptr %record)
  %is_small = icmp ule i64 %programs, 1
  br i1 %is_small, label %small, label %shared
small:
  call void @run_programs(ptr %record, i64 0, i64 %programs)
  %after_small = call ptr @following(ptr %record)
  br label %check
shared:
  %after_shared = call ptr @following(ptr %record)
  store ptr %after_shared, ptr %p_cursor
  store i64 %programs, ptr %p_programs
  store i64 0, ptr %p_next
  ret i1 true
finish:
  ret i1 false
}}

; One thread's part of the current launch: takes 1/(2 * threads) of what is left until nothing is.
define internal void @take_part(ptr %team, ptr %record, i64 %threads) {{
entry:
  %p_programs = getelementptr %team, ptr %team, i32 0, i32 1
  %p_next = getelementptr %team, ptr %team, i32 0, i32 5
  %programs = load i64, ptr %p_programs
  %twice = shl i64 %threads, 1
  %seen = load atomic i64, ptr %p_next monotonic, align 8
  br label %check
check:
  %begin = phi i64 [ %seen, %entry ], [ %seen_again, %lost ], [ %seen_next, %won ]
  %none_left = icmp uge i64 %begin, %programs
  br i1 %none_left, label %done, label %take
take:
  %left = sub i64 %programs, %begin
  %share = udiv i64 %left, %twice
  %size = call i64 @llvm.umax.i64(i64 %share, i64 1)
  %end = add i64 %begin, %size
  %exchange = cmpxchg ptr %p_next, i64 %begin, i64 %end monotonic monotonic, align 8
  %seen_again = extractvalue {{ i64, i1 }} %exchange, 0
  %mine = extractvalue {{ i64, i1 }} %exchange, 1
  br i1 %mine, label %won, label %lost
won:
  call void @run_programs(ptr %record, i64 %begin, i64 %end)
  %seen_next = load atomic i64, ptr %p_next monotonic, align 8
  br label %check
lost:
  br label %check
done:
  ret void
}}

; Waits until all threads are here; the last one advances the list.
define internal void @barrier(ptr %team, i32 %threads) {{
entry:
  %p_arrived = getelementptr %team, ptr %team, i32 0, i32 7
  %p_passed = getelementptr %team, ptr %team, i32 0, i32 9
  %passed = load atomic i32, ptr %p_passed monotonic, align 4
  %before = atomicrmw add ptr %p_arrived, i32 1 acq_rel
  %arrived = add i32 %before, 1
  %last = icmp eq i32 %arrived, %threads
  br i1 %last, label %lead, label %wait
lead:
  call i1 @advance(ptr %team)
  store i32 0, ptr %p_arrived
  %passed_now = add i32 %passed, 1
  store atomic i32 %passed_now, ptr %p_passed release, align 4
  ret void
wait:
  %turn = phi i32 [ 0, %entry ], [ %next_turn, %again ]
  %seen = load atomic i32, ptr %p_passed acquire, align 4
  %still = icmp eq i32 %seen, %passed
  br i1 %still, label %idle, label %done
idle:
  %patient = icmp ult i32 %turn, {spin_turns}
  br i1 %patient, label %spin, label %yield
spin:
  call void asm sideeffect "{spin_hint}", ""()
  br label %again
yield:
  call i32 @sched_yield()
  br label %again
again:
  %step = zext i1 %patient to i32
  %next_turn = add i32 %turn, %step
  br label %wait
done:
  ret void
}}

define internal void @member(ptr %team) {{
entry:
  %p_current = getelementptr %team, ptr %team, i32 0, i32 0
  %p_cursor = getelementptr %team, ptr %team, i32 0, i32 2
  %p_end = getelementptr %team, ptr %team, i32 0, i32 3
  %end = load ptr, ptr %p_end
  %threads = call i32 @omp_get_num_threads()
  %wide = zext i32 %threads to i64
  br label %launch
launch:
  %record = load ptr, ptr %p_current
  %at_end = icmp eq ptr %record, %end
  br i1 %at_end, label %done, label %work
work:
  %after = load ptr, ptr %p_cursor
  call void @take_part(ptr %team, ptr %record, i64 %wide)
  ; the end of the parallel region is a barrier too
  %final = icmp eq ptr %after, %end
  br i1 %final, label %done, label %meet
meet:
  call void @barrier(ptr %team, i32 %threads)
  br label %launch
done:
  ret void
}}

define void @run_launches(ptr %begin, i64 %bytes, i32 %threads) {{
entry:
  %end = getelementptr i8, ptr %begin, i64 %bytes
  %alone = icmp ule i32 %threads, 1
  br i1 %alone, label %serial, label %gather
serial:
  %record = phi ptr [ %begin, %entry ], [ %after, %run ]
  %at_end = icmp eq ptr %record, %end
  br i1 %at_end, label %done, label %run
run:
  %programs = call i64 @programs(ptr %record)
  call void @run_programs(ptr %record, i64 0, i64 %programs)
  %after = call ptr @following(ptr %record)
  br label %serial
gather:
  %team = alloca %team, align 64
  store %team zeroinitializer, ptr %team
  %p_cursor = getelementptr %team, ptr %team, i32 0, i32 2
  %p_end = getelementptr %team, ptr %team, i32 0, i32 3
  store ptr %begin, ptr %p_cursor
  store ptr %end, ptr %p_end
  %shared = call i1 @advance(ptr %team)
  br i1 %shared, label %parallel, label %done
parallel:
  call void @GOMP_parallel(ptr @member, ptr %team, i32 %threads, i32 0)
  br label %done
done:
  ret void
}}
"""


def launcher_ir(processor: str) -> str:
    """LLVM IR text of the launcher for a processor ("x86_64" or "aarch64")."""
    return _TEXT.format(spin_turns=SPIN_TURNS, spin_hint=_SPIN_HINT[processor])
