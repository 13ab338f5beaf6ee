from hypothesis import given
from hypothesis import strategies as st

from runners.engine.planning import Sizes, plan_chunks
from runners.engine.tree import grow_tree, own_mask, segments
from runners.hf.scoring import Span

SIZES = Sizes(chunk_tokens=12, block_tokens=2, segment_tokens=3)
ONE_CHUNK = Sizes(chunk_tokens=10**9)


@st.composite
def spans(draw):
    inputs = draw(st.lists(st.integers(0, 2), min_size=1, max_size=12))
    n_targets = draw(st.integers(1, len(inputs)))
    return Span(
        inputs=inputs,
        targets=draw(
            st.lists(st.integers(0, 2), min_size=1, max_size=12).map(
                lambda targets: (targets * n_targets)[:n_targets]
            )
        ),
    )


works = st.lists(st.lists(spans(), max_size=3), max_size=12)


def one_tree(work):
    (chunk,) = plan_chunks(work, ONE_CHUNK)
    return chunk, grow_tree(chunk)


def ancestors(tree, row):
    """A row's path from the root, itself included."""
    return [at for at in range(row + 1) if tree.end[at] > row]


@given(works.filter(any))
def test_each_scored_row_has_read_its_spans_inputs(work):
    chunk, tree = one_tree(work)
    wanted = [
        (list(span.inputs[: n + 1]), target)
        for span in chunk.spans
        for n, target in zip(
            range(len(span.inputs) - len(span.targets), len(span.inputs)), span.targets, strict=True
        )
    ]
    read = [tree.tokens[ancestors(tree, row)].tolist() for row in tree.scored_row]
    assert list(zip(read, tree.target, strict=True)) == wanted


@given(works.filter(any))
def test_rows_depth_is_the_number_of_its_ancestors(work):
    _, tree = one_tree(work)
    assert [len(ancestors(tree, row)) - 1 for row in range(len(tree.depth))] == list(tree.depth)


@given(st.lists(spans().map(lambda span: [span]), min_size=1, max_size=12))
def test_single_spans_share_all_that_they_can(work):
    _, tree = one_tree(work)
    beginnings = {tuple(s.inputs[: n + 1]) for (s,) in work for n in range(len(s.inputs))}
    assert len(tree.tokens) == len(beginnings)


@given(works.filter(any), st.integers(1, 6))
def test_segments_see_exactly_their_rows_ancestors(work, limit):
    _, tree = one_tree(work)
    path: dict[int, int] = {}
    covered = []
    for part in segments(tree, 0, len(tree.tokens), limit):
        rows = list(range(part.start, part.stop))
        above = [path[depth] for depth in range(tree.depth[part.start])]
        for row, sees in zip(rows, own_mask(tree, part), strict=True):
            own = [other for other, seen in zip(rows, sees, strict=True) if seen]
            assert above + own == ancestors(tree, row)
        path.update({int(tree.depth[part.start]) + n: row for n, row in enumerate(rows)})
        covered += rows
        assert len(rows) <= limit
    assert covered == list(range(len(tree.tokens)))


@given(works)
def test_chunks_hold_each_request_with_spans_once(work):
    chunks = list(plan_chunks(work, SIZES))
    assert sorted(r for c in chunks for r in c.requests) == [r for r, s in enumerate(work) if s]
    for chunk in chunks:
        assert list(chunk.work) == [work[r] for r in chunk.requests]


@given(works.filter(any))
def test_trunk_is_shared_by_all_and_not_scored(work):
    for chunk in plan_chunks(work, SIZES):
        assert chunk.n_trunk % SIZES.block_tokens == 0
        assert len({tuple(span.inputs[: chunk.n_trunk]) for span in chunk.spans}) == 1
        assert all(chunk.n_trunk <= len(s.inputs) - len(s.targets) for s in chunk.spans)


@given(works, st.data())
def test_removing_finished_chunks_leaves_the_others_as_they_are(work, data):
    chunks = list(plan_chunks(work, SIZES))
    n_finished = data.draw(st.integers(0, len(chunks)))
    finished = {request for chunk in chunks[:n_finished] for request in chunk.requests}
    left = [[] if request in finished else spans for request, spans in enumerate(work)]
    assert list(plan_chunks(left, SIZES)) == chunks[n_finished:]


def test_chunks_end_where_least_is_shared():
    # Documents of 5 tokens with 3 choices each: 8 rows, so that 12 would cut one in half.
    work = [
        [Span(inputs=[d, d, d, d, d, choice], targets=[0])] for d in range(4) for choice in range(3)
    ]
    chunks = list(plan_chunks(work, SIZES))
    assert [len(chunk.requests) for chunk in chunks] == [3, 3, 3, 3]


def test_no_chunk_without_requests():
    assert list(plan_chunks([], SIZES)) == []
    assert list(plan_chunks([[]], SIZES)) == []


def test_chunks_of_one_prompt_begin_with_it_in_their_trunk():
    shots = list(range(10))
    work = [[Span(inputs=[*shots, d, d, d, d, c], targets=[0])] for d in range(9) for c in range(2)]
    chunks = list(plan_chunks(work, SIZES))
    assert len(chunks) > 2
    assert all(chunk.spans[0].inputs[: chunk.n_trunk][:10] == shots for chunk in chunks)
