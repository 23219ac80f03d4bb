"""SQL that compares the fields of recipes."""

__all__ = ["equal_but"]

_FIELDS = (
    "alpha", "beta", "head_init", "head_sigma", "head_bias", "body_mode", "warmup",
    "warmup_patience", "warmup_gain", "optimiser", "momentum", "momentum_form", "weight_decay",
    "effective_weight_decay", "head_weight_decay", "regulariser", "decayed", "decay_form",
    "bn_momentum", "schedule", "milestones", "decay_factor", "protocol",
    "steps", "batch_size", "batches", "flip", "crop", "colour_jitter",
)  # fmt: skip


def equal_but(*fields: str) -> str:
    """An SQL value that two recipes share if they agree in all but these fields."""
    unknown = set(fields) - set(_FIELDS)
    if unknown:
        raise ValueError(f"recipes have no field {', '.join(sorted(unknown))}")
    kept = [field for field in _FIELDS if field not in fields]
    return f"struct_pack({', '.join(f'{field} := {field}' for field in kept)})"
