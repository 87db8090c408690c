"""Policy gradient (REINFORCE): play, see how it went, make what went well likelier.

The network maps what is seen to the probabilities of the actions. After some episodes each action is weighed with the
rewards that came after it, and the gradient of the weighted logarithms is the direction to go. Plays CartPole, or Pong
with the network of Karpathy's "Pong from pixels", for which it is slow; `actor_critic.py` is not.

    minpy run examples/policy_gradient.py
    minpy run examples/policy_gradient.py --env pong       # many hours

Expected: a mean reward of 480 to 500, of 500, over the last 100 of 1,000 episodes of CartPole, in 20 seconds.

It takes the extra `rl`: ``pip install 'minpy[rl]'``.
"""

import argparse

import numpy as np
from actor_critic import CartPole, Pong

from minpy.core import grad_and_loss
from minpy.nn import optim
from minpy.nn.model import ModelBase


class PolicyNetwork(ModelBase):
    def __init__(self, inputs, hidden, actions, gamma):
        super().__init__()
        self.add_param("w1", (inputs, hidden)).add_param("b1", (hidden,)).add_param("w2", (hidden, actions))
        self.gamma = gamma
        for name, config in self.param_configs.items():
            shape = config["shape"]
            size = 1 / np.sqrt(shape[0]) if len(shape) > 1 else 0.0
            self.params[name] = np.random.normal(0.0, size, shape)

    def forward(self, X, mode="test"):
        """Logarithms of the probabilities."""
        p = self.params
        scores = np.dot(np.maximum(np.dot(X, p["w1"]) + p["b1"], 0), p["w2"])
        scores = scores - np.max(scores, axis=1, keepdims=True)
        return scores - np.log(np.sum(np.exp(scores), axis=1, keepdims=True))

    def loss(self, logs, actions, weights):
        return -np.sum(logs[np.arange(len(actions)), actions] * weights) / len(actions)

    def choose_action(self, x):
        chances = np.exp(self.forward(x[None])[0])
        return min(int((np.random.random() > np.cumsum(chances)).sum()), len(chances) - 1)

    def discount(self, rewards, cuts):
        """What each step is worth: its reward and those after it, each worth `gamma` less; none after a cut."""
        worth = np.array(rewards)
        for t in reversed(range(len(worth) - 1)):
            if not cuts[t]:
                worth[t] += self.gamma * worth[t + 1]
        return worth


def play(model, env):
    seen, actions, rewards, cuts = [], [], [], []
    x, over = env.reset(), False
    while not over:
        action = model.choose_action(x)
        seen.append(x)
        actions.append(action)
        x, reward, cut, over, _ = env.step(action)
        rewards.append(reward)
        cuts.append(cut)
    return seen, actions, model.discount(rewards, cuts), sum(rewards)


def main(arguments=None):
    parser = argparse.ArgumentParser(description="policy gradient")
    parser.add_argument("--env", choices=("cartpole", "pong"), default="cartpole")
    parser.add_argument("--updates", type=int, help="how often the network is improved")
    parser.add_argument("--episodes", type=int, help="played for each of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="a few updates")
    options = parser.parse_args(arguments)
    np.random.seed(options.seed)

    kind, hidden, rate, gamma = (
        (CartPole, 32, 1e-2, 0.99) if options.env == "cartpole" else (Pong, 200, 1e-3, 0.99)
    )
    env = kind(options.seed)
    model = PolicyNetwork(kind.inputs, hidden, kind.actions, gamma)
    states = {name: {} for name in model.params}
    updates = options.updates or (4 if options.short else 100 if options.env == "cartpole" else 2000)
    played = options.episodes or (3 if options.short else 10)
    running = []
    for update in range(1, updates + 1):
        episodes = [play(model, env) for _ in range(played)]
        x, actions = (np.concatenate([e[k] for e in episodes]) for k in (0, 1))
        weights = np.concatenate([e[2] for e in episodes])
        weights = (weights - weights.mean()) / (weights.std() + 1e-8)
        running += [e[3] for e in episodes]

        def loss(params, x=x, actions=actions, weights=weights):
            model.params.update(params)
            return model.loss(model.forward(x, "train"), actions, weights)

        before = dict(model.params)
        gradients, _ = grad_and_loss(loss)(before)
        for name, w in before.items():
            states[name]["learning_rate"] = rate * (1 - 0.9 * update / updates)  # smaller and smaller steps
            model.params[name], _ = optim.adam(w, gradients[name], states[name])
        if update % (2 if options.short else 10) == 0:
            print(
                f"{update * played:5d} episodes  mean reward of the last 20: {np.mean(running[-20:]):.2f}",
                flush=True,
            )
    last = running[-100:]
    print(f"mean reward of the last {len(last)} episodes: {np.mean(last):.2f}")


if __name__ == "__main__":
    main()
