"""Tests that any method must pass, also one of another package, and the tiny CLIP that they run on. Needs pytest.

Example:
    ```python
    # test_my_method.py
    from my_package import MyMethodModel
    from sketch_prompt.testing import MethodContract


    class TestMyMethod(MethodContract):
        model_class = MyMethodModel
    ```
"""

from .contract import MethodContract
from .tiny_clip import WordProcessor, images, tiny_clip, token_ids

__all__ = ["MethodContract", "WordProcessor", "images", "tiny_clip", "token_ids"]
