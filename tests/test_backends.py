import pytest

from evalcore.errors import ModelError
from evalcore.records import ModelSpec
from runners import resolve
from runners.backends import BACKENDS, Backend, backend


@pytest.mark.parametrize("name", BACKENDS)
def test_each_module_of_the_table_describes_a_backend(name: str):
    found = backend(name)
    assert isinstance(found, Backend)
    assert found.kind.startswith(("a ", "an "))


def test_unknown_backend_is_refused_with_the_known_ones():
    spec = ModelSpec(name="m", backend="imported", weights="m")
    with pytest.raises(ModelError, match=r"backend must be one of hf, .*; got 'imported'"):
        resolve(spec)


def test_variants_that_differ_in_adapters_or_template_share_a_base():
    spec = ModelSpec(name="a", backend="hf", weights="w", chat_template="alpaca")
    other = ModelSpec(name="b", backend="hf", weights="w")
    assert backend("hf").shared(spec) == backend("hf").shared(other)
    assert backend("hf").shared(spec) != backend("hf").shared(
        ModelSpec(name="c", backend="hf", weights="w", quantization="int8")
    )
