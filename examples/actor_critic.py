"""Parallel actor-critic with generalised advantages, on CartPole or on Pong from its pixels.

Sixteen copies of the environment are stepped together: one forward run chooses an action for each. After some steps
what happened is a batch, and one gradient improves both the policy (the actor) and the estimate of what is still to
come (the critic). Advantages are those of Schulman et al. (2016). A batch is used for several passes, in which steps
away from the policy that collected it are clipped (Schulman et al., 2017); with one pass this is plain advantage
actor-critic.

    minpy run examples/actor_critic.py                  # CartPole-v1
    minpy run examples/actor_critic.py --env pong       # half an hour or more; --save FILE, --load FILE

Expected: CartPole is solved in 10 seconds, a mean reward of 500 over 100 episodes, with every seed that was tried. Pong
is won by 20 points, as a mean of 100 episodes, after 1.2 million steps; it begins with losing by 20.

It takes the extra `rl`: ``pip install 'minpy[rl]'``. The games of Atari come with ale-py.
"""

import argparse
import time
from collections import deque
from typing import NamedTuple

import numpy as np

from minpy import value_and_grad
from minpy.nn import optim


class Settings(NamedTuple):
    envs: int  # played together
    steps: int  # in each of them, for one batch
    passes: int  # over a batch
    parts: int  # of a batch, each a step of Adam
    hidden: int
    rate: float
    gamma: float  # what a reward is worth one step earlier
    entropy: float  # how much it is worth to stay undecided
    until: int  # steps of all environments together
    enough: float  # the mean reward of the last 100 episodes at which training ends


SETTINGS = {
    "cartpole": Settings(16, 64, 4, 4, 64, 3e-3, 0.98, 0.0, 120_000, np.inf),
    "pong": Settings(16, 64, 3, 4, 128, 7e-4, 0.99, 0.01, 2_600_000, 20.0),
}
LAMBDA, CLIP, OF_VALUE, LONGEST = 0.95, 0.2, 0.5, 0.5


# ----- environments: `reset` gives an observation; `step` an observation, a reward, and how the episode goes on


class CartPole:
    """Balance a pole on a cart: a reward of 1 for each step, 500 at most."""

    inputs, actions = 4, 2
    scale = np.array([1 / 2.4, 1 / 3, 1 / 0.21, 1 / 3], np.float32)

    def __init__(self, seed):
        import gymnasium

        self.env = gymnasium.make("CartPole-v1")
        self.env.reset(seed=seed)

    def reset(self):
        return self.env.reset()[0] * self.scale

    def step(self, action):
        x, reward, failed, out_of_time, _ = self.env.step(int(action))
        return x * self.scale, reward, failed, failed or out_of_time, failed


class Pong:
    """Pong, seen as the difference of two frames of 40 by 40. Each of up to 41 points brings 1 or -1."""

    inputs, actions = 1600, 2
    moves = (2, 3)  # up and down

    def __init__(self, seed):
        import ale_py
        import gymnasium

        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        gymnasium.register_envs(ale_py)
        self.env = gymnasium.make(
            "ALE/Pong-v5", frameskip=4, repeat_action_probability=0.0, obs_type="grayscale"
        )
        self.env.reset(seed=seed)

    def look(self, frame):
        field = frame[34:194:4, ::2]
        drawn = field != field[1, 1]  # the ball is four rows high and two columns wide
        seen = (drawn[:, ::2] | drawn[:, 1::2]).ravel().astype(np.float32)
        difference, self.before = seen - self.before, seen
        return difference

    def reset(self):
        self.before = np.zeros(self.inputs, np.float32)
        self.look(self.env.reset()[0])
        return np.zeros(self.inputs, np.float32)

    def step(self, action):
        frame, reward, over, out_of_time, _ = self.env.step(self.moves[action])
        # A point is a fresh start: what came before it has no part in what comes.
        return self.look(frame), reward, over or reward != 0, over or out_of_time, over


# ----- the network: a layer that actor and critic share


def network(inputs, hidden, actions, rng):
    def layer(m, n, size):
        return (rng.normal(0.0, size / np.sqrt(m), (m, n))).astype(np.float32)

    return {
        "hidden": layer(inputs, hidden, 1.0 if inputs < 100 else 4.0),
        "hidden_bias": np.zeros(hidden, np.float32),
        "policy": layer(hidden, actions, 0.01),
        "policy_bias": np.zeros(actions, np.float32),
        "value": layer(hidden, 1, 1.0),
        "value_bias": np.zeros(1, np.float32),
    }


def forward(net, x):
    """Logarithms of the probabilities of the actions, and the values of the states."""
    h = np.tanh(np.dot(x, net["hidden"]) + net["hidden_bias"])
    scores = np.dot(h, net["policy"]) + net["policy_bias"]
    scores = scores - np.max(scores, axis=1, keepdims=True)
    values = np.dot(h, net["value"]) + net["value_bias"]
    return scores - np.log(np.sum(np.exp(scores), axis=1, keepdims=True)), values[:, 0]


def loss(net, batch, entropy_weight):
    logs, values = forward(net, batch["x"])
    chosen = logs[np.arange(len(logs)), batch["action"]]
    ratio = np.exp(chosen - batch["log"])
    gain = np.minimum(ratio * batch["advantage"], np.clip(ratio, 1 - CLIP, 1 + CLIP) * batch["advantage"])
    entropy = -np.sum(np.exp(logs) * logs, axis=1)
    return (
        -np.mean(gain)
        + OF_VALUE * np.mean((values - batch["return"]) ** 2)
        - entropy_weight * np.mean(entropy)
    )


def advantages(rewards, values, cut, gamma):
    """Generalised advantages, shape (T, N): how much better it went than the values said.

    `values` has a row more, for what comes after the last step; where `cut` is 1 nothing that comes after counts.
    """
    out = np.zeros_like(rewards)
    running = np.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        surprise = rewards[t] + gamma * values[t + 1] * (1 - cut[t]) - values[t]
        running = surprise + gamma * LAMBDA * (1 - cut[t]) * running
        out[t] = running
    return out


class Learner:
    def __init__(self, net, rate):
        self.net, self.rate = net, rate
        self.states = {name: {} for name in net}
        self.gradient = value_and_grad(loss)

    def learn(self, batch, entropy, share):
        """One step of Adam; `share` of the learning rate."""
        _, grads = self.gradient(self.net, batch, entropy)
        length = np.sqrt(sum(float(np.sum(g * g)) for g in grads.values()))
        shorten = np.float32(min(1.0, LONGEST / (length + 1e-8)))
        for name, g in grads.items():
            self.states[name]["learning_rate"] = self.rate * share
            self.net[name], _ = optim.adam(self.net[name], g * shorten, self.states[name])


# ----- training


def collect(net, envs, x, steps, gamma, rng, finished):
    """Play `steps` steps in all environments; `x` are their present observations, and become the next ones."""
    n = len(envs)
    seen = np.zeros((steps, n, x.shape[1]), np.float32)
    actions = np.zeros((steps, n), int)
    logs, rewards, cut = (np.zeros((steps, n), np.float32) for _ in range(3))
    values = np.zeros((steps + 1, n), np.float32)
    for t in range(steps):
        seen[t] = x
        log, values[t] = forward(net, x)
        action = (rng.random((n, 1)) > np.cumsum(np.exp(log), axis=1)).sum(axis=1)
        action = np.minimum(action, log.shape[1] - 1)
        actions[t], logs[t] = action, log[np.arange(n), action]
        for i, env in enumerate(envs):
            x[i], reward, cut[t, i], over, failed = env.step(action[i])
            rewards[t, i] = reward
            env.total += reward
            if over:
                finished.append(env.total)
                if not failed:  # time was up, and there would have been more
                    rewards[t, i] += gamma * forward(net, x[i : i + 1])[1][0]
                    cut[t, i] = 1
                env.total, x[i] = 0.0, env.reset()
    values[steps] = forward(net, x)[1]
    better = advantages(rewards, values, cut, gamma)
    flat = {
        "x": seen.reshape(steps * n, -1),
        "action": actions.ravel(),
        "log": logs.ravel(),
        "advantage": better.ravel(),
        "return": (better + values[:-1]).ravel(),
    }
    flat["advantage"] = (flat["advantage"] - flat["advantage"].mean()) / (flat["advantage"].std() + 1e-8)
    return flat


def train(kind, net, seed, until, settings, report=10):
    rng = np.random.default_rng(seed)
    envs = [kind(1000 * seed + i) for i in range(settings.envs)]
    for env in envs:
        env.total = 0.0
    x = np.stack([env.reset() for env in envs])
    learner, finished = Learner(net, settings.rate), deque(maxlen=100)
    size, start, update = settings.envs * settings.steps, time.perf_counter(), 0
    for done in range(size, until + 1, size):
        batch = collect(net, envs, x, settings.steps, settings.gamma, rng, finished)
        for _ in range(settings.passes):
            for rows in np.array_split(rng.permutation(size), settings.parts):
                part = {name: values[rows] for name, values in batch.items()}
                learner.learn(part, settings.entropy, 1 - 0.9 * done / until)
        update += 1
        mean = np.mean(finished) if finished else np.nan
        if update % report == 0 and finished:
            print(
                f"{done:8d} steps  {time.perf_counter() - start:6.0f} s  "
                f"mean reward of the last {len(finished):3d} episodes {mean:7.2f}",
                flush=True,
            )
        if len(finished) == finished.maxlen and mean >= settings.enough:
            print(f"a mean reward of {mean:.2f} in {done} steps is enough")
            break
    return finished


def evaluate(kind, net, episodes, seed, longest):
    """The rewards of episodes in which the likeliest action is taken, each of at most `longest` steps."""
    envs = [kind(seed + i) for i in range(episodes)]
    x, totals, playing = np.stack([env.reset() for env in envs]), np.zeros(episodes), list(range(episodes))
    for _ in range(longest):
        action = np.argmax(forward(net, x[playing])[0], axis=1)
        for i, a in zip(list(playing), action):
            x[i], reward, _, over, _ = envs[i].step(a)
            totals[i] += reward
            if over:
                playing.remove(i)
        if not playing:
            break
    return totals


def main(arguments=None):
    parser = argparse.ArgumentParser(description="parallel actor-critic")
    parser.add_argument("--env", choices=SETTINGS, default="cartpole")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="of all environments together")
    parser.add_argument("--short", action="store_true", help="a few steps")
    parser.add_argument("--save", metavar="FILE", help="write the network to a file (npz)")
    parser.add_argument("--load", metavar="FILE", help="go on with the network of a file")
    options = parser.parse_args(arguments)
    settings = SETTINGS[options.env]
    kind = {"cartpole": CartPole, "pong": Pong}[options.env]
    if options.short:
        settings = settings._replace(envs=4, steps=32, passes=2, parts=2, until=6 * 4 * 32)
    until = options.steps or settings.until
    if options.load:
        with np.load(options.load) as file:
            net = dict(file)
    else:
        net = network(kind.inputs, settings.hidden, kind.actions, np.random.default_rng(options.seed))
    train(kind, net, options.seed, until, settings, report=2 if options.short else 10)
    if options.save:
        np.savez(options.save, **net)
    episodes = 100 if options.env == "cartpole" else 10
    rewards = evaluate(kind, net, 1 if options.short else episodes, 10_000, 100 if options.short else 10_000)
    print(f"mean reward of {len(rewards)} episodes: {np.mean(rewards):.2f}")


if __name__ == "__main__":
    main()
