"""The methods' losses, as functions of embeddings. Embeddings are L2-normalised unless stated
otherwise; all losses are means."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """d(a, b) = 1 - cos(a, b) of aligned rows.

    Args:
        a, b: (..., D), L2-normalised.

    Returns:
        (...), between 0 and 2.
    """
    return 1 - (a * b).sum(-1)


def triplet_loss(sketch: Tensor, photo: Tensor, negative: Tensor, margin: float) -> Tensor:
    """mean_i max(0, margin + d(s_i, p_i) - d(s_i, n_i)), CLIP-AT eq. 3.

    Args:
        sketch, photo, negative: (B, D), L2-normalised, aligned rows.
        margin: how much nearer the sketch's photo must be than the negative.

    Returns:
        ()
    """
    return F.relu(margin + cosine_distance(sketch, photo) - cosine_distance(sketch, negative)).mean()


def euclidean_triplet_loss(sketch: Tensor, photo: Tensor, negative: Tensor, margin: float) -> Tensor:
    """mean_i max(0, margin + ||s_i - p_i|| - ||s_i - n_i||) of vectors that are not normalised: ZSE-SBIR's.

    Args:
        sketch, photo, negative: (B, d), aligned rows.
        margin: how much nearer the sketch's photo must be than the negative.

    Returns:
        ()
    """
    return F.relu(margin + F.pairwise_distance(sketch, photo) - F.pairwise_distance(sketch, negative)).mean()


# Targets of relation scores. A sigmoid reaches neither 1 nor 0.
_MATCHING, _MISMATCHED = 0.99, 0.01


def relation_loss(matching: Tensor, mismatched: Tensor) -> Tensor:
    """Mean squared error of ZSE-SBIR's relation scores, which are 0.99 for matching pairs and 0.01 for others.

    Args:
        matching: (B,) scores of sketches with photos of their class.
        mismatched: (B',) scores of sketches with photos of other classes.

    Returns:
        (), the mean over all B + B' pairs.
    """
    errors = torch.cat([matching.flatten() - _MATCHING, mismatched.flatten() - _MISMATCHED])
    return errors.square().mean()


def balanced_relation_loss(
    scores: Tensor,
    matches: Tensor,
    counts: tuple[Tensor | int, Tensor | int],
) -> Tensor:
    """Half of the mean error of `relation_loss` over matching pairs, and half of that over the others.

    With as many of one kind as of the other, that is `relation_loss`. Among all pairs of a batch few match, and a
    plain mean would teach the network to say no.

    Args:
        scores: (B, N) of sketches with photos.
        matches: (B, N), whether they match.
        counts: how many pairs match, and how many do not, where these are a part of the pairs.

    Returns:
        (), this part's share of the loss.
    """
    matching = (scores - _MATCHING).square().masked_fill(~matches, 0).sum() / max(1, int(counts[0]))
    mismatched = (scores - _MISMATCHED).square().masked_fill(matches, 0).sum() / max(1, int(counts[1]))
    return (matching + mismatched) / 2


def hardest_triplet_loss(sketch: Tensor, photo: Tensor, instance_ids: Tensor, margin: float) -> Tensor:
    """mean_i max(0, margin + d(s_i, p_i) / 2 - min_j d(s_i, p_j) / 2), j over photos of other instances, DP-CLIP.

    The halves are the reference code's. A sketch is left out if the batch has no photo of another instance.

    Args:
        sketch, photo: (B, D), L2-normalised; row i of `photo` is a photo that sketch i should find.
        instance_ids: (B,) instances of the photos, or at category level their categories.
        margin: how much nearer (in half distances) a sketch's photo must be than the nearest other.

    Returns:
        ()
    """
    distances = (1 - sketch @ photo.T) / 2
    others = instance_ids[:, None] != instance_ids
    nearest = distances.masked_fill(~others, torch.inf).amin(1)
    counted = others.any(1)
    excess = F.relu(margin + distances.diagonal() - nearest)
    return torch.where(counted, excess, 0).sum() / counted.sum().clamp(min=1)


def f_divergence_loss(sketch: Tensor, photo: Tensor, negative: Tensor, labels: Tensor) -> Tensor:
    """Mean over ordered pairs of classes of KL(D_c || D_c'), CLIP-AT eq. 8: the margins
    between positives and negatives should be distributed alike in all classes.

    D_c = softmax of delta_i = d(s_i, p_i) - d(s_i, n_i) over the triplets i of class c. Distributions are compared
    entry by entry, so only the first n triplets of each class count, where n is the size of the smallest class.

    Args:
        sketch, photo, negative: (B, D), L2-normalised, aligned rows.
        labels: (B,) classes.

    Returns:
        (), 0 if there is only one class, or a class with only one triplet.
    """
    delta = cosine_distance(sketch, photo) - cosine_distance(sketch, negative)
    classes, counts = labels.unique(return_counts=True)
    n = int(counts.min())
    log_d = torch.stack([delta[labels == c][:n] for c in classes]).log_softmax(1)
    # KL(D_c || D_c') = sum_i D_c (log D_c - log D_c'); the diagonal adds nothing.
    d = log_d.exp()
    divergence = (d * log_d).sum(1, keepdim=True) - d @ log_d.T
    return divergence.sum() / max(1, len(classes) * (len(classes) - 1))


def patch_shuffling_loss(sketch: Tensor, photo: Tensor, other_photo: Tensor, margin: float) -> Tensor:
    """mean_i max(0, margin + d(s_i^g1, p_i^g1) - d(s_i^g1, p_i^g2)), CLIP-AT eq. 9.

    Args:
        sketch, photo: (B, D) of images whose tiles one permutation shuffled, L2-normalised.
        other_photo: (B, D) of the same photos, shuffled by another permutation.
        margin: how much nearer the photo with the same permutation must be.

    Returns:
        ()
    """
    return triplet_loss(sketch, photo, other_photo, margin)


def classification_loss(
    embeds: Tensor, class_embeddings: Tensor, labels: Tensor, temperature: float | Tensor
) -> Tensor:
    """Cross entropy of cos(image, class text) / temperature over the seen classes, CLIP-AT eq. 4.

    Args:
        embeds: (B, D) of sketches or photos, L2-normalised.
        class_embeddings: (C, D) of "a photo of a {class}", L2-normalised.
        labels: (B,) in [0, C).
        temperature: tau > 0; CLIP's own is exp(-logit_scale).

    Returns:
        ()

    Raises:
        IndexError: if a label is not in [0, C).
    """
    if labels.numel() and not (int(labels.min()) >= 0 and int(labels.max()) < len(class_embeddings)):
        raise IndexError(f"labels must be in [0, {len(class_embeddings)}), got up to {int(labels.max())}")
    return F.cross_entropy(embeds @ class_embeddings.T / temperature, labels)


def photo_softmax_loss(
    sketch: Tensor,
    photos: Tensor,
    right: Tensor,
    temperature: float,
    smoothing: float = 0.0,
    margins: Tensor | None = None,
) -> Tensor:
    """Cross entropy of softmax_p((cos(sketch, p) - m [p is right]) / temperature) over photos, mean over sketches.

    The target is uniform over the right photos of a sketch, less the share `smoothing`, which all photos have alike.

    Args:
        sketch: (B, D), L2-normalised.
        photos: (N, D), L2-normalised.
        right: (B, N) bool, which photos a sketch should find: one at least.
        temperature: tau > 0.
        smoothing: in [0, 1).
        margins: (B,) m >= 0, by how much right photos have to be nearer; none by default.

    Returns:
        ()

    Raises:
        ValueError: if a sketch should find none of the photos.
    """
    if not right.any(1).all():
        raise ValueError("a sketch has no photo of its class among those to be found")
    scores = sketch @ photos.T
    if margins is not None:
        scores = scores - margins[:, None] * right
    logs = F.log_softmax(scores / temperature, dim=1)
    own = (logs * right).sum(1) / right.sum(1)
    return -((1 - smoothing) * own + smoothing * logs.mean(1)).mean()


def pull_loss(embeds: Tensor, frozen: Tensor) -> Tensor:
    """Mean of 1 - cos(f, f_0): how far features have moved from those of the frozen CLIP.

    Args:
        embeds, frozen: (B, D), L2-normalised.

    Returns:
        ()
    """
    return cosine_distance(embeds, frozen).mean()


def squared_triplet_loss(sketch: Tensor, photo: Tensor, negative: Tensor, margin: Tensor | float) -> Tensor:
    """mean_i max(0, ||s_i - p_i||^2 - ||s_i - n_i||^2 + mu_i), SpLIP's triplet loss.

    Args:
        sketch, photo, negative: (B, D), L2-normalised, aligned rows.
        margin: mu, (B,) or one for all.

    Returns:
        ()
    """
    nearer = (sketch - photo).square().sum(-1) - (sketch - negative).square().sum(-1)
    return F.relu(nearer + margin).mean()


def class_margins(
    class_embeddings: Tensor, labels: Tensor, negative_labels: Tensor, same_class: float
) -> Tensor:
    """mu(c+, c-) = cos of the two classes' texts, SpLIP's adaptive margin: similar classes are pushed farther apart.

    Args:
        class_embeddings: (C, D), L2-normalised.
        labels, negative_labels: (B,) classes of the photos and of the negatives, in [0, C).
        same_class: the margin where both classes are the same and the cosine is always 1.

    Returns:
        (B,)
    """
    cosines = (class_embeddings[labels] * class_embeddings[negative_labels]).sum(-1)
    return torch.where(labels == negative_labels, same_class, cosines)


def conditional_jigsaw_loss(own: Tensor, positive: Tensor, negative: Tensor, permutation: Tensor) -> Tensor:
    """CE(own, y) + mean_i [CE(positive_i, y_i) - CE(negative_i, y_i)]_+, SpLIP's conditional cross-modal jigsaw.

    Args:
        own, positive, negative: (B, K) logits of the solver, which saw the shuffled sketch beside the sketch
            itself, its photo, and a photo that is not its own.
        permutation: (B,) y, the permutation that shuffled the sketch, in [0, K).

    Returns:
        ()
    """
    helped = F.cross_entropy(positive, permutation, reduction="none")
    misled = F.cross_entropy(negative, permutation, reduction="none")
    return F.cross_entropy(own, permutation) + F.relu(helped - misled).mean()


def weighted_sum(terms: dict[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Total loss: the sum of every term times its weight.

    Raises:
        KeyError: if a term has no weight.
    """
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
