"""What validation chose, in words for people."""

from __future__ import annotations

import numpy as np

from omnivec2.training.adaptation.fitting.fit_layers import FittedLayers
from omnivec2.training.adaptation.fitting.labelled_summaries import Choice
from omnivec2.training.adaptation.fitting.linear_trials import RAW
from omnivec2.training.adaptation.fitting.own_tokenizer import TunedTokenizer


def describe_choice(choice: Choice) -> str:
    """Return the settings of layers in words."""
    summaries = f"summaries {' + '.join(choice.summaries)}"
    if choice.is_linear:
        return f"a linear map, {summaries}, penalty {choice.weight_decay:g}"
    words = [summaries, f"weight decay {choice.weight_decay:g}"]
    words += ["class weights"] * choice.class_weights
    return ", ".join([*words, f"{choice.steps} steps"])


def describe_tokenizer(tuned: TunedTokenizer) -> str:
    """Return the training of a tokenizer in words."""
    return f"tokenizer of its own, trained with the head for {tuned.steps} steps"


def describe_bypass(
    fitted: FittedLayers, sample_fit: FittedLayers | None, metric: str
) -> str | None:
    """Say that a head does not look at the trunk, and what the best one that does would be.

    Args:
        fitted: The layers.
        sample_fit: The layers that were fitted to a share of the labels, where that decided that
            the trunk is not run on all of them.
        metric: The name of the metric.

    Returns:
        A sentence; None for a head that looks at the trunk.
    """
    if fitted.looks_at_trunk:
        return None
    compared = fitted if sample_fit is None else sample_fit
    choice = fitted.choice
    read = "the input itself" if choice.summaries == RAW else "what the trunk is given"
    note = (
        f"the head reads only {read} ({' + '.join(choice.summaries)}), not what the trunk "
        f"makes of it: validation {metric} {fitted.metric:.4g}"
    )
    if compared.with_trunk is None:
        return note
    best, value = compared.with_trunk
    on = "" if sample_fit is None else (
        f" on {np.isfinite(sample_fit.predicted[:, 0]).sum():,} labelled inputs, where "
        f"the best that does not has {sample_fit.metric:.4g}"
    )  # fmt: skip
    return f"{note}; the best that looks at the trunk has {value:.4g} ({describe_choice(best)}){on}"
