"""A made-up world of sketches and photos, for tests of the lens."""

import torch
from torch.nn.functional import normalize

from sketch_prompt.lens import ClassTargets, FeatureMeans, LensSums, Sample


class World:
    """Sketches, photos and texts of classes, with a fixed linear map between sketches and photos."""

    def __init__(self, classes=24, per_class=8, dim=12, seed=0, noise=0.5):
        random = torch.Generator().manual_seed(seed)

        def draw(*shape):
            return torch.randn(*shape, generator=random, dtype=torch.float64)

        self.names = [f"class {number}" for number in range(classes)]
        self.dim, self.classes = dim, classes
        centres, turn, offset = draw(classes, dim), torch.linalg.qr(draw(dim, dim))[0], 2 * draw(dim)
        self.labels = torch.arange(classes).repeat(per_class)
        self.photos = normalize(centres[self.labels] + noise * draw(len(self.labels), dim), dim=1)
        own = self.photos @ turn
        self.sketches = normalize(own + noise * draw(len(self.labels), dim) + offset / dim**0.5, dim=1)
        self.texts = normalize(centres + draw(classes, dim), dim=1)

    def means(self):
        means = FeatureMeans(self.classes, self.dim)
        means.add(self.photos, self.labels)
        return means.means

    def sums(self, folds, partners=False, rows=slice(None)):
        sums = LensSums(folds, self.dim, partners)
        sums.add(self.sketches[rows], self.labels[rows], self.photos[rows] if partners else None)
        return sums

    def sample(self, features):
        sample = Sample()
        sample.add(features, self.labels, torch.arange(len(self.labels)))
        return sample

    def targets(self, kind):
        photos = None if kind == "text" else self.means()
        texts = None if kind == "photos" else self.texts
        return ClassTargets(photos, texts)
