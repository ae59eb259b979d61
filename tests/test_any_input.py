"""Any bytes at all: label files give a corpus or an AffectError, weights a model or an AffectError, parameters text."""

import json
import re
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("hypothesis", reason="property tests need the package hypothesis")

import fuzz_targets  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from test_no_code_runs import is_only_values, set_by_papermill  # noqa: E402

from affect_core.corpora.abaw import FIELDS  # noqa: E402

ANY = settings(derandomize=True, max_examples=80, deadline=None, database=None)
FOUND = Path(__file__).parent / "fuzz_found"



@pytest.fixture(autouse=True)
def examples(request, record_property):
    """The examples that were tried are counted on the page of reliability."""
    yield
    passed = re.findall(r"(\d+) passing", getattr(request.node, "hypothesis_statistics", ""))
    if passed:
        record_property("reliability counts", {"examples of Hypothesis": sum(map(int, passed))})


numbers = st.sampled_from(["0", "1", "-1", "-5", "0.5", "nan", "inf", "1e400", "", " ", "0x1", "1_0", "٣", "²", "-0"])
names = st.sampled_from(["v/1.jpg", "v/2.jpg", "v/1.JPG", "../v/1.jpg", "", "v"]) | st.text(max_size=9)
rows = st.builds(
    lambda name, values: ",".join([name, *values]),
    names,
    st.lists(numbers | st.text(max_size=4), min_size=len(FIELDS) - 2, max_size=len(FIELDS)),
)
label_text = st.lists(rows | st.text(max_size=30), max_size=8).map(
    lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass")
)


@ANY
@given(reader=st.sampled_from(sorted(fuzz_targets.READERS)), data=label_text | st.binary(max_size=200))
def test_any_label_file_gives_a_corpus_or_an_affect_error(reader, data):
    fuzz_targets.read_labels(reader, data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**62) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=6,
)  # fmt: skip
headers = st.dictionaries(
    st.sampled_from(["fc.weight", "bn.bias", "features.0.weight", "a"]) | st.text(max_size=3),
    st.fixed_dictionaries({
        "dtype": st.sampled_from(["F32", "F16", "BF16", "I64", "BOOL", "F8_E5M2", "C64", "U16", "F4", "x"]),
        "shape": st.lists(st.integers(0, 4) | st.integers(0, 2**63), max_size=4),
        "data_offsets": st.tuples(st.integers(0, 64), st.integers(0, 2**63)).map(list),
    }) | json_values, max_size=3,
)  # fmt: skip
records = st.fixed_dictionaries({"model": st.sampled_from(["MAE", "DAN", "EMMA", "CoTEX"]) | json_values,
                                 "metadata": json_values}, optional={"config": json_values})  # fmt: skip


@ANY
@given(header=headers, record=records | json_values, data=st.binary(max_size=64), cut=st.integers(0, 400))
def test_any_safetensors_file_gives_a_model_or_an_affect_error(header, record, data, cut):
    with suppress(ValueError):  # surrogates cannot be written as UTF-8
        text = json.dumps({**header, "__metadata__": {"affect_core": json.dumps(record)}}).encode()
        fuzz_targets.read_weights((struct.pack("<Q", len(text)) + text + data)[: cut or None], ".safetensors")


@ANY
@given(data=st.binary(max_size=300), suffix=st.sampled_from([".safetensors", ".pth"]))
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_any_bytes_give_a_model_or_an_affect_error(data, suffix):
    fuzz_targets.read_weights(data, suffix)


sizes = st.sampled_from([0, 1, 2, 8, 10**9, -1, 0.5, "8", None, True, float("nan")])


@ANY
@given(changes=st.dictionaries(st.sampled_from(["width", "num_heads", "num_classes", "small_images", "x"]), sizes))
def test_any_settings_give_a_model_or_an_affect_error(changes):
    fuzz_targets.read_settings(changes)


@ANY
@given(data=st.binary(max_size=150) | st.text(max_size=60).map(lambda text: b"\x93NUMPY\x01\x00v\x00" + text.encode()))
def test_any_array_file_gives_a_number_or_a_value_error(data):
    number = fuzz_targets.read_array(data)
    assert number is None or isinstance(number, float | np.floating)


@ANY
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60))
def test_any_parameter_stays_text(value):
    assert is_only_values(*set_by_papermill(value))


@pytest.mark.parametrize("path", sorted(FOUND.glob("*/*")), ids=lambda path: path.name)
def test_what_fuzzing_found_stays_fixed(path):
    fuzz_targets.run(path.parent.name, path.read_bytes())
