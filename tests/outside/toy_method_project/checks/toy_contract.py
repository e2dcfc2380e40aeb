"""The contract's tests, run by the toy method's own package."""

from toy_method import ToyMethodModel

from sketch_prompt.testing import MethodContract


class TestToyMethod(MethodContract):
    model_class = ToyMethodModel
