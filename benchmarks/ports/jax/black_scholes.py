import jax.numpy as jnp
from jax import jit


def normal_cdf(x):
    k = 1.0 / (1.0 + 0.2316419 * jnp.abs(x))
    poly = k * (0.319381530 + k * (-0.356563782 + k * (1.781477937 + k * (-1.821255978 + k * 1.330274429))))
    w = 1.0 - jnp.exp(-0.5 * x * x) / jnp.sqrt(2 * jnp.pi) * poly
    return jnp.where(x < 0, 1.0 - w, w)


@jit
def run(price, strike, years, rate, volatility):
    root = volatility * jnp.sqrt(years)
    d1 = (jnp.log(price / strike) + (rate + 0.5 * volatility**2) * years) / root
    d2 = d1 - root
    discount = jnp.exp(-rate * years)
    call = price * normal_cdf(d1) - strike * discount * normal_cdf(d2)
    put = strike * discount * normal_cdf(-d2) - price * normal_cdf(-d1)
    return call, put
