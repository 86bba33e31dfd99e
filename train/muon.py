"""The optimizer Muon (Jordan 2024) for the matrices inside a network: momentum, orthogonalised at each step.

torch.optim.Muon accepts only matrices and processes them one by one. This version also accepts kernels of convolutions
and processes all parameters of one shape together.
"""
import torch

COEFFICIENTS = 3.4445, -4.7750, 2.0315        # of the quintic iteration; singular values end between 0.7 and 1.2
ITERATIONS = 5
SMALLEST = 16                                 # least number of rows and columns; smaller matrices go to AdamW


def is_hidden_matrix(name, parameter):
    """Whether a parameter is a matrix between two hidden layers: no embedding, first kernel or last layer."""
    return (name.endswith("weight") and parameter.ndim > 1 and min(parameter.shape[0], parameter[0].numel()) >= SMALLEST
            and parameter.shape[1] != 3)


def orthogonal(x):
    """Approximates the nearest matrices with orthonormal rows or columns. x [G,M,N]."""
    if x.shape[1] > x.shape[2]:
        return orthogonal(x.mT).mT
    a, b, c = COEFFICIENTS
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


class Muon(torch.optim.Optimizer):
    """Muon with the learning rate of AdamW: the length of a step is scaled to match that of AdamW."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.02):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes = {}
            for parameter in group["params"]:
                shapes.setdefault((parameter.shape[0], parameter[0].numel()), []).append(parameter)
            for shape, parameters in shapes.items():
                self.step_together(shape, parameters, group)

    def average(self, parameter):
        state = self.state[parameter]
        if not state:
            state["average"] = torch.zeros_like(parameter)
        return state["average"]

    def step_together(self, shape, parameters, group):
        gradients = [parameter.grad for parameter in parameters]
        averages = [self.average(parameter) for parameter in parameters]
        torch._foreach_mul_(averages, group["momentum"])
        torch._foreach_add_(averages, gradients)
        ahead = torch._foreach_add(gradients, averages, alpha=group["momentum"])      # Nesterov's
        steps = orthogonal(torch.stack([step.flatten(1) for step in ahead])) * (0.2 * max(shape) ** 0.5)
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(parameters, [s.view(p.shape) for s, p in zip(steps, parameters)], alpha=-group["lr"])
