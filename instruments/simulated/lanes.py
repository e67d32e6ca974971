"""Numbers that a processor works on at once, as types of compiled code: sixteen columns, or pixels, move as one.

A compiler that is handed loops over many arrays must prove that none overlaps another before it uses a processor's
wide registers, or give up; handed these vectors it has nothing to prove. Where registers are narrower, it makes
several of one. Results are those of single numbers: nothing is rounded otherwise, but for ``muladd``. Reads and writes
are not checked: an array must reach as far as it is asked.
"""

from __future__ import annotations

import operator
from typing import ClassVar

from llvmlite import ir
from numba import types
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 16
_REALS, _WORDS, _MARKS = (ir.VectorType(kind, LANES) for kind in (ir.FloatType(), ir.IntType(32), ir.IntType(1)))
_BYTES = 4


class Lanes(types.Type):
    """LANES numbers of float32, of uint32, or whether something holds."""

    def __init__(self, kind):
        super().__init__(name=f"lanes of {kind}")


REALS, WORDS, MARKS = Lanes("float32"), Lanes("uint32"), Lanes("bool")
_VECTORS = {REALS: _REALS, WORDS: _WORDS, MARKS: _MARKS}
_SINGLE = {REALS: types.float32, WORDS: types.uint32}


@register_model(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _VECTORS[kind])


def _in_all(builder, kind, number):
    """A single number in all lanes; lanes as they are."""
    if isinstance(number.type, ir.VectorType):
        return number
    vector = _VECTORS[kind]
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, one, ir.Constant(_WORDS, [0] * LANES))


def _operator(symbol, kind, result, generate):
    """Let an operator take two lanes of a kind, or lanes and a single number."""
    single = _SINGLE[kind]
    pairs = (kind, kind), (kind, single), (single, kind)

    class Taken(ConcreteTemplate):
        cases: ClassVar = [signature(result, *pair) for pair in pairs]

    infer_global(symbol)(Taken)

    def lower(context, builder, signature, arguments):
        return generate(builder, *(_in_all(builder, kind, argument) for argument in arguments))

    for pair in pairs:
        lower_builtin(symbol, *pair)(lower)


for _symbol, _kind, _name in (
    (operator.add, REALS, "fadd"), (operator.sub, REALS, "fsub"), (operator.mul, REALS, "fmul"),
    (operator.truediv, REALS, "fdiv"), (operator.add, WORDS, "add"), (operator.mul, WORDS, "mul"),
    (operator.xor, WORDS, "xor"), (operator.and_, WORDS, "and_"), (operator.or_, WORDS, "or_"),
    (operator.rshift, WORDS, "lshr"), (operator.lshift, WORDS, "shl"),
):  # fmt: skip
    _operator(_symbol, _kind, _kind, lambda builder, one, other, name=_name: getattr(builder, name)(one, other))
for _symbol, _sign in ((operator.gt, ">"), (operator.ge, ">=")):
    _operator(_symbol, REALS, MARKS, lambda builder, one, other, sign=_sign: builder.fcmp_ordered(sign, one, other))


def _place(context, builder, kind, array, index):
    """Where the vector that begins at an index of a flat array lies."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _REALS.as_pointer())


@intrinsic
def load(typing, array, index):
    """LANES numbers of a flat float32 array, from an index on."""

    def generate(context, builder, signature, arguments):
        return builder.load(_place(context, builder, signature.args[0], *arguments), align=_BYTES)

    return REALS(array, types.intp), generate


@intrinsic
def store(typing, array, index, lanes):
    """Write LANES numbers to a flat float32 array, from an index on."""

    def generate(context, builder, signature, arguments):
        builder.store(arguments[2], _place(context, builder, signature.args[0], *arguments[:2]), align=_BYTES)
        return context.get_dummy_value()

    return types.void(array, types.intp, REALS), generate


@intrinsic
def turn(typing, source, first, step, target, to, by):
    """Exchange rows and columns of LANES × LANES numbers on their way from one flat float32 array to another.

    Rows begin at ``first`` and every ``step`` numbers, in the target at ``to`` and every ``by``.
    """

    def generate(context, builder, signature, arguments):
        source, first, step, target, to, by = arguments
        rows = []
        for _ in range(LANES):
            rows.append(builder.load(_place(context, builder, signature.args[0], source, first), align=_BYTES))
            first = builder.add(first, step)
        half = LANES // 2
        while half:  # blocks of a half as many change places, until they are single numbers
            low = [n if not n & half else n - half + LANES for n in range(LANES)]
            high = [n + half if not n & half else n + LANES for n in range(LANES)]
            for n in range(LANES):
                if not n & half:
                    pair = rows[n], rows[n + half]
                    rows[n] = builder.shuffle_vector(*pair, ir.Constant(_WORDS, low))
                    rows[n + half] = builder.shuffle_vector(*pair, ir.Constant(_WORDS, high))
            half //= 2
        for row in rows:
            builder.store(row, _place(context, builder, signature.args[3], target, to), align=_BYTES)
            to = builder.add(to, by)
        return context.get_dummy_value()

    whole = types.intp
    return types.void(source, whole, whole, target, whole, whole), generate


def _function(taken, result, generate):
    """A function of lanes: ``taken`` are the kinds of its arguments."""

    def lower(context, builder, signature, arguments):
        return generate(builder, *arguments)

    makers = {
        0: lambda typing: (result(), lower),
        1: lambda typing, one: (result(*taken), lower),
        2: lambda typing, one, other: (result(*taken), lower),
        3: lambda typing, one, other, third: (result(*taken), lower),
    }
    return intrinsic(makers[len(taken)])


def _native(name):
    """A function of reals that LLVM knows."""

    def generate(builder, *arguments):
        kind = ir.FunctionType(_REALS, [_REALS] * len(arguments))
        made = builder.module.declare_intrinsic(f"llvm.{name}.v{LANES}f32", fnty=kind)
        return builder.call(made, arguments)

    return generate


spread = _function((types.float32,), REALS, lambda builder, number: _in_all(builder, REALS, number))
counting = _function((), WORDS, lambda builder: ir.Constant(_WORDS, list(range(LANES))))
"""0, 1, 2 … in the lanes."""
muladd = _function((REALS, REALS, REALS), REALS, _native("fmuladd"))
"""a · b + c, rounded once where the processor can."""
root, floored = (_function((REALS,), REALS, _native(name)) for name in ("sqrt", "floor"))
minus = _function((REALS,), REALS, lambda builder, one: builder.fneg(one))
whole = _function((REALS,), WORDS, lambda builder, one: builder.fptosi(one, _WORDS))
real = _function((WORDS,), REALS, lambda builder, one: builder.sitofp(one, _REALS))
"""Words count as numbers with a sign."""
as_real = _function((WORDS,), REALS, lambda builder, one: builder.bitcast(one, _REALS))
as_words = _function((REALS,), WORDS, lambda builder, one: builder.bitcast(one, _WORDS))
odd = _function((WORDS,), MARKS, lambda builder, one: builder.trunc(one, _MARKS))
chosen = _function((MARKS, REALS, REALS), REALS, lambda builder, mark, one, other: builder.select(mark, one, other))
"""The one where it holds, else the other."""
how_many = _function(
    (MARKS,), types.int32,
    lambda builder, marks: builder.zext(builder.ctpop(builder.bitcast(marks, ir.IntType(LANES))), ir.IntType(32)),
)  # fmt: skip
"""In how many lanes it holds."""


@intrinsic
def polynomial(typing, coefficients, x):
    """Of lanes; coefficients are a tuple of float32, highest power first."""

    def generate(context, builder, signature, arguments):
        numbers = [builder.extract_value(arguments[0], n) for n in range(len(coefficients))]
        value, *others = (_in_all(builder, REALS, number) for number in numbers)
        for other in others:
            value = builder.fadd(builder.fmul(value, arguments[1]), other)
        return value

    return REALS(coefficients, REALS), generate


def _sum(builder, lanes):
    half = LANES // 2
    while half:
        other = ir.Constant(_WORDS, [n + half if n < half else n for n in range(LANES)])
        lanes = builder.fadd(lanes, builder.shuffle_vector(lanes, lanes, other))
        half //= 2
    return builder.extract_element(lanes, ir.Constant(ir.IntType(32), 0))


total = _function((REALS,), types.float32, _sum)
"""The sum over all lanes: of halves, again and again, so that it is rounded alike on any processor."""
