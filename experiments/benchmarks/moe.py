"""Time of the mixture of experts, forwards and backwards, beside a dense MLP and beside computing all experts.

Targets: at most 1.35 x a dense MLP that does the same floating point operations as the `top_k` experts of a node, at
most 0.5 x the form that computes every expert for every node. All forms alternate in one process; the compute-all form
uses the mixture's own weights and must give the same result.

    python experiments/benchmarks/moe.py [--num-nodes 16384] [--dim 256] [--threads 1] [--repeats 9] [--out moe.json]

The mixture runs several times as many operations as the dense MLP, each on fewer rows. Threads meet after every one of
them, so on a machine whose cores are busy with something else its ratio rises far above what an idle machine shows.
Measure on an idle machine, or read the ratio of processor time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from timing import alternate, show, timed_row, write_rows
from torch import Tensor, nn

from mmgraph.nn.moe import MixtureOfExperts, MoEConfig

JUDGED_FROM = 16384
"""Nodes from which the targets hold."""


def dense_mlp(dim: int, hidden_dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, hidden_dim), nn.LayerNorm(hidden_dim), nn.GELU(), nn.Linear(hidden_dim, dim))


def compute_all(moe: MixtureOfExperts, x: Tensor) -> Tensor:
    """Every expert on every node, then the chosen answers: the form of the official code."""
    routing = moe.route(x)
    assert moe.experts is not None
    answers = []
    for weight_in, bias_in, norm_weight, norm_bias, weight_out, bias_out in zip(*moe.experts.weights, strict=True):
        hidden = nn.functional.linear(x, weight_in, bias_in)
        hidden = nn.functional.gelu(nn.functional.layer_norm(hidden, hidden.shape[1:], norm_weight, norm_bias))
        answers.append(nn.functional.linear(hidden, weight_out, bias_out))
    index = routing.expert_index.unsqueeze(2).expand(-1, -1, x.size(1))
    chosen = torch.stack(answers, dim=1).gather(1, index)
    return x + (routing.gate.unsqueeze(2) * chosen).sum(dim=1)


def run(form: Callable[[Tensor], Tensor], x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Output and gradient of the input of one forward and backward pass."""
    x.grad = None
    out = form(x)
    (out * weight).sum().backward()
    assert x.grad is not None
    return out.detach(), x.grad


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-nodes", type=int, default=16384)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--num-experts", type=int, default=8)
    parser.add_argument("--top-k", type=int, default=2)
    parser.add_argument("--hidden-mult", type=float, default=1.0, help="as in MoEConfig; 1 is that of `unigraph2`")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    torch.manual_seed(0)
    moe = MixtureOfExperts(args.dim, MoEConfig(args.num_experts, args.top_k, args.hidden_mult, zero_init=False))
    dense = dense_mlp(args.dim, round(args.top_k * args.dim * args.hidden_mult))
    x = torch.randn(args.num_nodes, args.dim, requires_grad=True)
    weight = torch.randn(args.num_nodes, args.dim)
    forms: dict[str, Callable[[Tensor], Tensor]] = {
        "mixture": lambda x: moe(x)[0],
        "dense": lambda x: x + dense(x),
        "all": lambda x: compute_all(moe, x),
    }

    ours, reference = run(forms["mixture"], x, weight), run(forms["all"], x, weight)
    error = max(float((a - b).abs().max()) for a, b in zip(ours, reference, strict=True))
    if error > 1e-3:
        raise SystemExit(f"the mixture and compute-all differ by {error:.2e}")
    times = alternate(
        {name: lambda form=form: run(form, x, weight) for name, form in forms.items()}, repeats=args.repeats
    )
    more = {
        "judged": args.num_nodes >= JUDGED_FROM,
        "dim": args.dim,
        "num_experts": args.num_experts,
        "top_k": args.top_k,
        "hidden_mult": args.hidden_mult,
        "largest_difference": error,
        "load": [round(value, 3) for value in moe.route(x).load.tolist()],
    }
    lines = [
        timed_row(
            f"mixture of experts, time over {title}",
            {"nodes": args.num_nodes},
            times,
            name,
            ours="mixture",
            **more,
            **goal,
        )
        for name, title, goal in (
            ("dense", "a dense MLP of the same FLOPs", {"at_most": 1.35}),
            ("all", "all experts computed", {"at_most": 0.5}),
        )
    ]
    for line in lines:
        show(line)
    write_rows(args.out, lines)


if __name__ == "__main__":
    main()
