"""The gradient workloads: their data, as a plain NumPy program, and as users of the peers would write them."""

# How each framework is asked for: module and form.
FRAMEWORKS = {
    "NumPy (forward)": ("with_minpy", "forward"),
    "MinPy": ("with_minpy", ""),
    "MinPy --fast-math": ("with_minpy", ""),
    "PyTorch": ("with_torch", ""),
    "PyTorch layers": ("with_torch", "layers"),
    "PyTorch compile": ("with_torch", "compile"),
    "JAX jit": ("with_jax", ""),
    "autograd": ("with_autograd", ""),
}
# How far apart values and gradients may be.
RELATIVE = {"float64": 1e-9, "float32": 3e-3}
