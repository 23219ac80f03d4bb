"""On what, and how exactly, numbers are computed."""

from typing import Literal

from pydantic import Field

from fastpipe.config.model import Model


class Compute(Model):
    """The parts of the machine that change a result's bytes, hence part of every spec."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where tensors live: `auto` takes a GPU where there is one, and the CPU only where there is
    none: a GPU that should be there and cannot be used is an error."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the body's forward and backward pass; parameters, head and loss stay fp32.
    `auto` is bf16 where the device has bf16 arithmetic units, else fp32; the choice is recorded."""

    threads: int = Field(default=1, ge=1, le=1024)
    """CPU threads of one job (another number may give other bytes)."""
