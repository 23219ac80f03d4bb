"""Weight decay and L2-SP: pulling parameters to the origin, or to where they started.

The penalty is λ/2 ‖θ‖² on the body and λ2/2 ‖W‖² on the head (`l2`), or λ1/2 ‖θ − θ_source‖² on
the body instead (`l2-sp`: Li, Grandvalet & Davoine 2018, arXiv:1802.01483, equation 2; the body is
what is transferred). The optimiser knows nothing of it: `coupled`, its gradient is added to the
loss's before the update; `decoupled`, parameters move towards the origin by ηλ of their distance,
beside the update (Li et al. 2020, arXiv:2002.11770, equations 1 and 2):

    v ← m v − η ∇L(θ + m v)        θ ← θ + v − ηλ θ

torch's Nesterov holds the point φ = θ + m v where the gradient is taken, not θ. It is θ = φ − m v
that decays: φ moves by −ηλ (φ − m v) beside torch's own update, and the recursion in θ is exactly
the one above. φ is also the network that is validated and deployed. Without Nesterov φ is θ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Parameter

from fastpipe.config.recipe import Recipe
from fastpipe.models.network import Network, body_parameters, head_parameters

__all__ = ["Pull", "pulls"]


@dataclass(frozen=True)
class Pull:
    """The penalty λ/2 Σ ‖p − p₀‖² over some parameters p of one part of a network.

    A parameter without a gradient is not trained at the moment, and is left alone.
    """

    part: str
    """`head` or `body`."""
    parameters: Sequence[Parameter]
    origins: Sequence[Tensor] | None
    """p₀ of each; None: 0."""
    strength: float
    """λ."""

    @torch.no_grad()
    def add_gradient(self) -> None:
        """Add λ (p − p₀) to each gradient."""
        trained = self._trained()
        if not trained:
            return
        gradients = [p.grad for p, _ in trained]
        torch._foreach_add_(gradients, [p for p, _ in trained], alpha=self.strength)
        if self.origins is not None:
            torch._foreach_add_(gradients, [o for _, o in trained], alpha=-self.strength)

    @torch.no_grad()
    def move(self, rate: float, ahead: Mapping[Parameter, Tensor]) -> None:
        """p ← p − ηλ (p − a − p₀), η being the rate and a how far p is ahead (0 if not there)."""
        trained = self._trained()
        if not trained:
            return
        parameters, share = [p for p, _ in trained], rate * self.strength
        if self.origins is None:
            torch._foreach_mul_(parameters, 1 - share)
        else:
            torch._foreach_lerp_(parameters, [o for _, o in trained], share)
        before = [p for p in parameters if p in ahead]
        if before:
            torch._foreach_add_(before, [ahead[p] for p in before], alpha=share)

    def _trained(self) -> list[tuple[Parameter, Tensor | None]]:
        origins = self.origins or [None] * len(self.parameters)
        pairs = zip(self.parameters, origins, strict=True)
        return [(parameter, origin) for parameter, origin in pairs if parameter.grad is not None]


def pulls(network: Network, recipe: Recipe, source: Sequence[Tensor]) -> list[Pull]:
    """A recipe's penalties on a network, those of strength 0 left out.

    Args:
        network: its parameters are held, not copied.
        recipe: `weight_decay` or `effective_weight_decay`, `head_weight_decay`, `regulariser`
            and `decayed`. An effective λ' is made λ = λ'η with the part's *first* rate.
        source: θ_source, in the order of :func:`~fastpipe.models.network.body_parameters`.
    """
    body, head = body_parameters(network), head_parameters(network)
    origins = source if recipe.regulariser == "l2-sp" else [None] * len(body)
    found = [
        _pull("body", body, origins, _strength(recipe, recipe.beta), recipe),
        _pull("head", head, [None] * len(head), _head_strength(recipe), recipe),
    ]
    return [pull for pull in found if pull.strength and pull.parameters]


def _pull(
    part: str,
    parameters: Sequence[Parameter],
    origins: Sequence[Tensor | None],
    strength: float,
    recipe: Recipe,
) -> Pull:
    every = recipe.decayed == "all"
    pairs = zip(parameters, origins, strict=True)
    # Biases and BatchNorm's parameters are vectors; weights have two dimensions or more.
    chosen = [(p, origin) for p, origin in pairs if every or p.dim() >= 2]
    known = [origin for _, origin in chosen if origin is not None]
    return Pull(part, [p for p, _ in chosen], known or None, strength)


def _strength(recipe: Recipe, rate: float) -> float:
    relative = recipe.effective_weight_decay
    return recipe.weight_decay if relative is None else relative * rate


def _head_strength(recipe: Recipe) -> float:
    own = recipe.head_weight_decay
    return _strength(recipe, recipe.alpha) if own is None else own
