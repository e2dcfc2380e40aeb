"""DP-CLIP's 63 sentences about a category (those of open-vocabulary detection, ViLD)."""

_A_AND_THE = (
    "There is {a} {c} in the scene.",
    "a photo of {a} {c} in the scene.",
    "itap of {a} {c}.",  # "I took a picture of"
    "a photo of {a} {c}.",
    "a good photo of {a} {c}.",
    "a bad photo of {a} {c}.",
    "a bright photo of {a} {c}.",
    "a dark photo of {a} {c}.",
    "a low resolution photo of {a} {c}.",
    "a cropped photo of {a} {c}.",
    "a close-up photo of {a} {c}.",
    "a jpeg corrupted photo of {a} {c}.",
    "a blurry photo of {a} {c}.",
    "a pixelated photo of {a} {c}.",
    "a black and white photo of {a} {c}.",
)
_ADJECTIVES = ("nice", "cool", "weird", "small", "large", "clean", "dirty", "hard to see")
_MATERIALS = ("plastic", "toy", "plushie", "cartoon", "embroidered")
_OTHERS = (
    "a photo of one {c} in the scene.",
    "itap of my {c}.",
    "a photo of my {c}.",
    "a photo of one {c}.",
    "a photo of many {c}.",
    "a painting of the {c}.",
    "a painting of a {c}.",
)


def category_sentences(name: str) -> list[str]:
    """The 63 sentences about a category, as the reference code words them.

    Args:
        name: the category, such as `"hot air balloon"`.
    """
    name = name.replace("_", " ")
    article = "an" if name[:1].lower() in tuple("aeiou") else "a"
    sentences = [template.format(a=a, c=name) for template in _A_AND_THE for a in (article, "the")]
    sentences += [f"a photo of {a} {adjective} {name}." for adjective in _ADJECTIVES for a in ("a", "the")]
    for material in _MATERIALS:
        own = "an" if material[0] in "aeiou" else "a"
        sentences += [f"{a} {material} {name}." for a in (own, "the")]
    sentences += [template.format(c=name) for template in _OTHERS]
    return [f"This is {line}" if line.startswith(("a", "the")) else line for line in sentences]
