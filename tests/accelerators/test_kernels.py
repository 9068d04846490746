"""Kernels, bytes and collectives of programs that are small enough to count by hand."""

# ruff: noqa: E501 (lines of a compiler)

import jax
import jax.numpy as jnp

from vdp.accelerators import hlo
from vdp.accelerators.kernels import COLLECTIVE, COMPUTING, LIBRARY, MOVING, Reader

GPU = """HloModule jit_f, is_scheduled=true

%fused_add (param_0: f32[8,4], param_1: f32[]) -> f32[8,4] {
  %param_0 = f32[8,4]{1,0} parameter(0)
  %param_1 = f32[] parameter(1)
  %broadcast.1 = f32[8,4]{1,0} broadcast(%param_1), dimensions={}
  ROOT %add.1 = f32[8,4]{1,0} add(%param_0, %broadcast.1)
}

%fused_slice (param_0.1: f32[5,8,4], param_1.1: s32[]) -> f32[1,8,4] {
  %param_0.1 = f32[5,8,4]{2,1,0} parameter(0)
  %param_1.1 = s32[] parameter(1)
  %constant.0 = s32[] constant(0)
  ROOT %dynamic-slice.1 = f32[1,8,4]{2,1,0} dynamic-slice(%param_0.1, %param_1.1, %constant.0, %constant.0)
}

%fused_update (param_0.2: f32[5,8,4], param_1.2: f32[8,4], param_2.2: s32[]) -> f32[5,8,4] {
  %param_0.2 = f32[5,8,4]{2,1,0} parameter(0)
  %param_1.2 = f32[8,4]{1,0} parameter(1)
  %param_2.2 = s32[] parameter(2)
  %tanh.1 = f32[8,4]{1,0} tanh(%param_1.2)
  %bitcast.1 = f32[1,8,4]{2,1,0} bitcast(%tanh.1)
  %constant.1 = s32[] constant(0)
  ROOT %dynamic-update-slice.1 = f32[5,8,4]{2,1,0} dynamic-update-slice(%param_0.2, %bitcast.1, %param_2.2, %constant.1, %constant.1)
}

%body (arg: (s32[], f32[5,8,4], f32[5,8,4])) -> (s32[], f32[5,8,4], f32[5,8,4]) {
  %arg = (s32[], f32[5,8,4]{2,1,0}, f32[5,8,4]{2,1,0}) parameter(0)
  %i = s32[] get-tuple-element(%arg), index=0
  %ws = f32[5,8,4]{2,1,0} get-tuple-element(%arg), index=1
  %ys = f32[5,8,4]{2,1,0} get-tuple-element(%arg), index=2
  %w = f32[1,8,4]{2,1,0} fusion(%ws, %i), kind=kLoop, calls=%fused_slice
  %b = f32[8,4]{1,0} bitcast(%w)
  %new = f32[5,8,4]{2,1,0} fusion(%ys, %b, %i), kind=kLoop, calls=%fused_update
  ROOT %t = (s32[], f32[5,8,4]{2,1,0}, f32[5,8,4]{2,1,0}) tuple(%i, %ws, /*index=2*/%new)
}

%condition (arg.1: (s32[], f32[5,8,4], f32[5,8,4])) -> pred[] {
  %arg.1 = (s32[], f32[5,8,4]{2,1,0}, f32[5,8,4]{2,1,0}) parameter(0)
  ROOT %unknown = pred[] custom-call(%arg.1), custom_call_target="more"
}

ENTRY %main (p0: f32[8,4], p1: f32[4,4], p2: f32[5,8,4]) -> f32[5,8,4] {
  %p0 = f32[8,4]{1,0} parameter(0), metadata={op_name="x (of a batch)"}
  %p1 = f32[4,4]{1,0} parameter(1)
  %p2 = f32[5,8,4]{2,1,0} parameter(2)
  %one = f32[] constant(1)
  %sum = f32[8,4]{1,0} fusion(%p0, %one), kind=kLoop, calls=%fused_add
  %product = (f32[8,4]{1,0}, s8[4194304]{0}) custom-call(%sum, %p1), custom_call_target="__cublas$gemm"
  %first = f32[8,4]{1,0} get-tuple-element(%product), index=0
  %turned = f32[4,8]{1,0} transpose(%first), dimensions={1,0}
  %reduced-start = f32[4,8]{1,0} all-reduce-start(%turned), channel_id=1, to_apply=%add
  %reduced = f32[4,8]{1,0} all-reduce-done(%reduced-start)
  %zero = s32[] constant(0)
  %start = (s32[], f32[5,8,4]{2,1,0}, f32[5,8,4]{2,1,0}) tuple(%zero, %p2, %p2)
  %loop = (s32[], f32[5,8,4]{2,1,0}, f32[5,8,4]{2,1,0}) while(%start), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  ROOT %result = f32[5,8,4]{2,1,0} get-tuple-element(%loop), index=2
}
"""

TPU = """HloModule jit_g

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[]{:T(128)} parameter(0)
  %y = f32[]{:T(128)} parameter(1)
  ROOT %s = f32[]{:T(128)} add(%x, %y)
}

%body (arg: (s32[], bf16[64,128])) -> (s32[], bf16[64,128]) {
  %arg = (s32[]{:T(128)}, bf16[64,128]{1,0:T(8,128)(2,1)S(1)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%arg), index=0
  %near = bf16[64,128]{1,0:T(8,128)(2,1)S(1)} get-tuple-element(%arg), index=1
  %scaled = bf16[64,128]{1,0:T(8,128)(2,1)S(1)} multiply(%near, %near)
  ROOT %t = (s32[]{:T(128)}, bf16[64,128]{1,0:T(8,128)(2,1)S(1)}) tuple(%i, %scaled)
}

%condition (arg.1: (s32[], bf16[64,128])) -> pred[] {
  %seven = s32[]{:T(128)} constant(7)
  %arg.1 = (s32[]{:T(128)}, bf16[64,128]{1,0:T(8,128)(2,1)S(1)}) parameter(0)
  %i.1 = s32[]{:T(128)} get-tuple-element(%arg.1), index=0
  ROOT %lt = pred[]{:T(512)} compare(%i.1, %seven), direction=LT
}

%few (a: f32[8]) -> f32[8] {
  ROOT %a = f32[8]{0} parameter(0)
}

%more (a.1: f32[8]) -> f32[8] {
  %a.1 = f32[8]{0} parameter(0)
  %once = f32[8]{0} negate(%a.1)
  ROOT %twice = f32[8]{0} exponential(%once)
}

ENTRY %main (p0: bf16[64,128], p1: f32[8], p2: pred[]) -> f32[16] {
  %p0 = bf16[64,128]{1,0:T(8,128)(2,1)} parameter(0)
  %p1 = f32[8]{0} parameter(1)
  %p2 = pred[] parameter(2)
  %room = f32[8]{0:T(128)S(1)} custom-call(), custom_call_target="AllocateBuffer"
  %copy-start = (bf16[64,128]{1,0:T(8,128)(2,1)S(1)}, bf16[64,128]{1,0:T(8,128)(2,1)}, u32[]{:S(2)}) copy-start(%p0)
  %copy-done = bf16[64,128]{1,0:T(8,128)(2,1)S(1)} copy-done(%copy-start)
  %zero = s32[]{:T(128)} constant(0)
  %start = (s32[]{:T(128)}, bf16[64,128]{1,0:T(8,128)(2,1)S(1)}) tuple(%zero, %copy-done)
  %loop = (s32[]{:T(128)}, bf16[64,128]{1,0:T(8,128)(2,1)S(1)}) while(%start), condition=%condition, body=%body
  %chosen = f32[8]{0} conditional(%p2, %p1, %p1), true_computation=%few, false_computation=%more
  %ag-start = (f32[8]{0}, f32[16]{0}) all-gather-start(%chosen), channel_id=1, dimensions={0}
  ROOT %ag = f32[16]{0} all-gather-done(%ag-start)
}
"""


FUSED = """HloModule jit_h

%all-reduce-scatter.1 (p: f32[64]) -> f32[16] {
  %p = f32[64]{0} parameter(0)
  %all = f32[64]{0} all-reduce(%p), channel_id=1, to_apply=%add
  ROOT %mine = f32[16]{0} dynamic-slice(%all, %zero), dynamic_slice_sizes={16}
}

ENTRY %main (p0: f32[64], p1: f32[128,6144]) -> f32[32,6144] {
  %p0 = f32[64]{0} parameter(0)
  %p1 = f32[128,6144]{1,0} parameter(1)
  %scattered = f32[16]{0} fusion(%p0), kind=kCustom, calls=%all-reduce-scatter.1
  %start = ((f32[128,6144]{1,0}), f32[32,6144]{1,0}, s32[]) slice-start(%p1), slice={[0:32], [0:6144]}
  %done = f32[32,6144]{1,0} slice-done(%start)
  ROOT %named = f32[32,6144]{1,0} custom-call(%done), custom_call_target="ConcatBitcast"
}
"""


SPLIT = """HloModule jit_k

%start.1 (p: bf16[16,8]) -> (bf16[16,8], bf16[128,8], u32[]) {
  %p = bf16[16,8]{1,0} parameter(0)
  %g1 = bf16[128,8]{1,0} all-gather(%p), channel_id=6, dimensions={0}
  ROOT %c1 = (bf16[16,8]{1,0}, bf16[128,8]{1,0}, u32[]) custom-call(%g1), custom_call_target="AsyncCollectiveStart"
}

%meanwhile.1 (q: bf16[16,8], x: f32[64]) -> (f32[64], bf16[16,8]) {
  %q = bf16[16,8]{1,0} parameter(0)
  %x = f32[64]{0} parameter(1)
  %g2 = bf16[128,8]{1,0} all-gather(%q), channel_id=6, dimensions={0}
  %y = f32[64]{0} tanh(%x)
  ROOT %t = (f32[64]{0}, bf16[16,8]{1,0}) tuple(%y, %q)
}

%wait.1 (r: bf16[16,8], s: bf16[128,8]) -> bf16[128,8] {
  %r = bf16[16,8]{1,0} parameter(0)
  %s = bf16[128,8]{1,0} parameter(1)
  %g3 = bf16[128,8]{1,0} all-gather(%r), channel_id=6, dimensions={0}
  ROOT %c2 = bf16[128,8]{1,0} custom-call(%r, %s, %g3), custom_call_target="AsyncCollectiveDone"
}

%body (arg: (s32[], bf16[16,8], f32[64])) -> (s32[], bf16[16,8], f32[64]) {
  %arg = (s32[], bf16[16,8]{1,0}, f32[64]{0}) parameter(0)
  %i = s32[] get-tuple-element(%arg), index=0
  %w = bf16[16,8]{1,0} get-tuple-element(%arg), index=1
  %z = f32[64]{0} get-tuple-element(%arg), index=2
  %f1 = (bf16[16,8]{1,0}, bf16[128,8]{1,0}, u32[]) fusion(%w), kind=kCustom, calls=%start.1
  %f2 = (f32[64]{0}, bf16[16,8]{1,0}) fusion(%w, %z), kind=kCustom, calls=%meanwhile.1
  %z2 = f32[64]{0} get-tuple-element(%f2), index=0
  %whole = bf16[128,8]{1,0} get-tuple-element(%f1), index=1
  %f3 = bf16[128,8]{1,0} fusion(%w, %whole), kind=kCustom, calls=%wait.1
  ROOT %u = (s32[], bf16[16,8]{1,0}, f32[64]{0}) tuple(%i, %w, %z2)
}

%condition (arg.1: (s32[], bf16[16,8], f32[64])) -> pred[] {
  %arg.1 = (s32[], bf16[16,8]{1,0}, f32[64]{0}) parameter(0)
  %i.1 = s32[] get-tuple-element(%arg.1), index=0
  %ten = s32[] constant(10)
  ROOT %lt = pred[] compare(%i.1, %ten), direction=LT
}

ENTRY %main (p0: (s32[], bf16[16,8], f32[64])) -> (s32[], bf16[16,8], f32[64]) {
  %p0 = (s32[], bf16[16,8]{1,0}, f32[64]{0}) parameter(0)
  ROOT %loop = (s32[], bf16[16,8]{1,0}, f32[64]{0}) while(%p0), condition=%condition, body=%body
}
"""


def test_a_collective_that_is_split_into_fusions_counts_once_in_every_trip():
    work = Reader(hlo.parse(SPLIT), near=True).work()
    assert work.collectives == {"all-gather": 10}
    assert work.payload == {"all-gather": 10 * 2 * 128 * 8}
    assert work.kernels == {COLLECTIVE: 10, COMPUTING: 10}, "what waits is none"


def test_an_exchange_that_is_started_names_its_operands_first():
    started = "((f32[1024]{0}), f32[1024]{0}) all-to-all-start(%p), channel_id=1"
    text = (
        "HloModule m\n\nENTRY %main (p: f32[1024]) -> f32[1024] {\n"
        f"  %p = f32[1024]{{0}} parameter(0)\n  %s = {started}\n"
        "  ROOT %d = f32[1024]{0} all-to-all-done(%s)\n}\n"
    )
    work = Reader(hlo.parse(text), near=False).work()
    assert work.payload == {"all-to-all": 4096}
    assert work.moved == 2 * 4096


def test_loops_in_calls_are_loops():
    called = GPU.replace("ENTRY %main", "%inner").replace("calls=%add", "calls=%fused_add") + (
        "\nENTRY %outer (a: f32[8,4], b: f32[4,4], c: f32[5,8,4]) -> f32[5,8,4] {\n"
        "  %a = f32[8,4]{1,0} parameter(0)\n  %b = f32[4,4]{1,0} parameter(1)\n"
        "  %c = f32[5,8,4]{2,1,0} parameter(2)\n"
        "  ROOT %r = f32[5,8,4]{2,1,0} call(%a, %b, %c), to_apply=%inner\n}\n"
    )
    assert Reader(hlo.parse(called), near=False).work().loops == 1


def test_collectives_in_fusions_and_slices_that_are_started_are_what_they_are():
    """As a TPU has them: by reading the operand whole, the slice would count eight times."""
    work = Reader(hlo.parse(FUSED), near=True).work()
    assert work.kernels == {COLLECTIVE: 1, MOVING: 1}
    assert work.collectives == {"reduce-scatter": 1}, "a sum of which a part is kept"
    assert work.payload == {"reduce-scatter": 4 * 64}
    slicing = 2 * 4 * 32 * 6144
    assert work.moved == slicing + 4 * (64 + 16)


def test_a_gpu_program_is_counted_with_its_loop():
    work = Reader(hlo.parse(GPU), near=False).work()
    assert work.kernels == {COMPUTING: 1 + 5, LIBRARY: 1, MOVING: 1 + 5, COLLECTIVE: 1}
    assert work.launches == 14
    assert (work.loops, work.unknown) == (1, 0)
    assert work.collectives == {"all-reduce": 1}
    assert work.payload == {"all-reduce": 4 * 32}
    small, index = 4 * 32, 4
    entry = (small + 4 + small) + (small + 4 * 16 + small) + 2 * small + 2 * small
    slicing = small + index + small  # a fifth of the operand is read
    updating = small + index + small  # and a fifth is written
    assert work.moved == entry + 5 * (slicing + updating)


def test_a_tpu_keeps_some_arrays_near_and_its_loops_compare_with_a_constant():
    program = hlo.parse(TPU)
    work = Reader(program, near=True).work()
    assert work.kernels == {MOVING: 1, COMPUTING: 7 + 2, COLLECTIVE: 1}
    far = 2 * 64 * 128
    assert work.moved == far + 2 * (32 + 32) + (32 + 64)
    assert work.payload == {"all-gather": 64}
    everywhere = Reader(program, near=False).work()
    assert everywhere.moved == work.moved + far + 7 * 3 * far


def test_a_loop_of_unknown_length_counts_once_and_is_said():
    work = Reader(hlo.parse(TPU.replace("direction=LT", "direction=NE")), near=True).work()
    assert work.unknown == 1
    assert work.kernels[COMPUTING] == 1 + 2


def test_a_comparison_that_is_a_part_of_a_condition_is_no_length():
    either = TPU.replace(
        "  ROOT %lt = pred[]{:T(512)} compare(%i.1, %seven), direction=LT",
        "  %lt = pred[]{:T(512)} compare(%i.1, %seven), direction=LT\n"
        "  %more.1 = pred[] constant(true)\n"
        "  ROOT %both = pred[]{:T(512)} and(%lt, %more.1)",
    )
    assert either != TPU
    assert Reader(hlo.parse(either), near=True).work().unknown == 1


def test_a_compiled_program_has_the_trips_of_its_scan():
    def repeated(x):
        return jax.lax.scan(lambda x, _: (jnp.sin(x @ x), None), x, length=11)[0]

    compiled = jax.jit(repeated).lower(jax.ShapeDtypeStruct((16, 16), jnp.float32)).compile()
    program = hlo.parse(compiled.as_text())
    loops = [i for c in program.computations.values() for i in c.values() if i.opcode == "while"]
    assert [program.trips(loop) for loop in loops] == [11]
    inside = Reader(program, near=False).work(loops[0].called["body"])
    assert Reader(program, near=False).work().launches >= 11 * inside.launches > 0
