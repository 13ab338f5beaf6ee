from hypothesis import given
from hypothesis import strategies as st

from runners import RunnerOptions
from runners.hf.batching import make_batches
from runners.hf.scoring import rolling_spans

lengths_lists = st.lists(st.integers(0, 50), max_size=40)
options_values = st.builds(
    RunnerOptions, batch_size=st.integers(1, 8), batch_tokens=st.integers(1, 200)
)


@given(lengths_lists, options_values)
def test_batches_hold_each_sequence_once_and_keep_to_the_sizes(lengths, options):
    batches = make_batches(lengths, options)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = len(batch) * max(lengths[index] for index in batch)
        assert len(batch) <= options.batch_size
        assert padded <= options.batch_tokens or len(batch) == 1


@given(lengths_lists, options_values, st.integers(0, 10))
def test_batches_of_what_is_left_are_the_batches_that_were_left(lengths, options, n_done):
    batches = make_batches(lengths, options)
    left = sorted(index for batch in batches[n_done:] for index in batch)
    again = make_batches([lengths[index] for index in left], options)
    assert [[left[at] for at in batch] for batch in again] == batches[n_done:]


@given(st.integers(0, 50), st.integers(1, 12))
def test_rolling_spans_score_each_token_once_with_the_most_context(n_tokens, window):
    tokens = list(range(1, n_tokens + 1))
    spans = rolling_spans(tokens, 0, window)
    assert [target for span in spans for target in span.targets] == tokens
    for span in spans:
        assert len(span.targets) <= len(span.inputs) <= window
        assert len(span.inputs) == min(window, span.targets[-1])
        # Tokens count up from 1 here, so that each input must be its follower less 1.
        assert list(span.inputs) == list(
            range(span.targets[-1] - len(span.inputs), span.targets[-1])
        )
