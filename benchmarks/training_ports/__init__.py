"""Steps of training, as users of MinPy's library, of PyTorch and of MXNet's symbols would write them."""

# How each framework is asked for: module and form.
FRAMEWORKS = {
    "MinPy": ("with_minpy", ""),
    "PyTorch": ("with_torch", ""),
    "MXNet symbol": ("with_mxnet", ""),
}
# How far apart losses and changes of parameters may be: MXNet's updates take their rates in single precision (of
# Adam's, 1 - 0.999 then is off by 1e-5).
RELATIVE = {"float64": 3e-5, "float32": 3e-3}
