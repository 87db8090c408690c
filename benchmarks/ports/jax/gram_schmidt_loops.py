from benchmarks.ports.jax.gram_schmidt import run

__all__ = ["run"]
