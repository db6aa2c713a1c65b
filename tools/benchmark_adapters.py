"""What adapted layers cost: LoRA and DoRA of this project, of PEFT, and written plainly, side by side.

    OMP_NUM_THREADS=1 python tools/benchmark_adapters.py --out adapters.json
    python tools/benchmark_adapters.py --workload square_1024 decode --runs 9
    python tools/benchmark_adapters.py --device cuda --out adapters_gpu.json

Times are of one thread (CPU time of the thread, not the clock) or from device events on a GPU; runs are
paired, A B A B, figures are medians of the paired ratios with the spread of their middle half, and a
ratio that spreads over 15 % gets no verdict. Memory is the allocator's own record. Errors are against
the written equation in float64. A target in brackets is met (ok), missed (MISSED) or not judged (?).
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from adapter_contenders import Contender, bart, base_layer, contenders, exact
from adapter_measuring import WIDEST_SPREAD, kept_for_backward, mixed, paired, peak_transient, ratio, relative
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

OURS = ("DoRA, ours, new norm", "DoRA, ours, kept norm")
OURS_MERGED = ("DoRA, ours merged, new", "DoRA, ours merged, kept")
LORA, PEFT_LORA, PEFT_DORA = "LoRA, fused (ours)", "LoRA, PEFT", "DoRA, PEFT"


@dataclass(frozen=True)
class Workload:
    """A linear layer and the tokens that go through it.

    Args:
        rows: o.
        columns: i.
        tokens: in one micro-batch.
        dropout: p, mode branch.
        checkpointed: four micro-batches under activation checkpointing in one optimizer step.
        merged: the targets are those of the merged forward.
        targets: what must hold, see `verdicts`.
        dtype: of weight and input.
        compiled: torch.compile around every contender.
    """

    rows: int
    columns: int
    tokens: int
    rank: int = 128
    dropout: float = 0.0
    checkpointed: bool = False
    merged: bool = False
    targets: tuple[tuple[str, str, float], ...] = ()
    dtype: torch.dtype = torch.float32
    compiled: bool = False


LINEAR = {
    "square_1024": Workload(
        4096,
        4096,
        1024,
        targets=(("new/LoRA", "<=", 1.06), ("kept8/LoRA", "<=", 1.02), ("PEFT/kept8", ">=", 1.45)),
    ),
    "square_64": Workload(4096, 4096, 64, targets=(("kept8/LoRA", "<=", 1.08), ("PEFT/kept8", ">=", 5.5))),
    "tall_256": Workload(
        11008, 4096, 256, targets=(("PEFT/kept8", ">=", 2.5), ("PEFT/ours peak", ">=", 12.0))
    ),
    "dropout_512": Workload(4096, 4096, 512, dropout=0.05, targets=(("PEFT/kept8", ">=", 2.6),)),
    "checkpoint_256": Workload(4096, 4096, 256, checkpointed=True, targets=(("PEFT/kept4", ">=", 3.0),)),
    "small_1792": Workload(
        768, 768, 1792, merged=True, targets=(("kept8/LoRA", "<=", 1.0), ("PEFT/kept8", ">=", 1.25))
    ),
}
BFLOAT = {
    f"{'compiled_' if compiled else ''}bf16_{rows}_{tokens}": Workload(
        rows, 4096, tokens, dtype=torch.bfloat16, compiled=compiled
    )
    for compiled in (False, True)
    for rows in (4096, 11008)
    for tokens in (1024, 2048, 4096, 8192)
}
MODELS = {"bart_2+2": 2, "bart_6+6": 6}


def backward(contender: Contender, x: Tensor, grad: Tensor, checkpointed: bool, run: nn.Module) -> Tensor:
    """One forward and backward, or with checkpoints four of them, as in one optimizer step."""
    for number in range(4 if checkpointed else 1):
        for parameter in contender.trained.values():
            parameter.grad = None
        x.grad = None
        if number == 0:
            contender.before()
        y = checkpoint(run, x, use_reentrant=False) if checkpointed else run(x)
        y.backward(grad)
    return y.detach()


def linear(name: str, load: Workload, device: torch.device, rounds: int) -> dict[str, Any]:
    """All figures of one linear workload."""
    base = base_layer(load.rows, load.columns, device, load.dtype)
    allowed = load.dtype == torch.float32 and load.dropout == 0 and not load.compiled
    racers = contenders(base, load.rank, load.dropout, merged=allowed)
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(load.tokens, load.columns, generator=generator).to(device, load.dtype).requires_grad_()
    grad = torch.randn(load.tokens, load.rows, generator=generator).to(device, load.dtype)
    modules = {r.name: torch.compile(r.module) if load.compiled else r.module for r in racers}
    runs = {r.name: partial(backward, r, x, grad, load.checkpointed, modules[r.name]) for r in racers}
    rows: dict[str, dict[str, Any]] = {}
    for racer in racers:
        runs[racer.name]()
        apart = [*racer.module.parameters(), *([base.weight, base.bias] if base.bias is not None else [])]
        kept = kept_for_backward(lambda r=racer: modules[r.name](x), apart, x)  # type: ignore[misc]
        few = slice(0, min(64, load.tokens))
        rows[racer.name] = {
            **kept,
            "peak_transient_bytes": peak_transient(runs[racer.name], device),
            **({} if load.dropout else {"error": error(racer, base, x[few].detach(), grad[few])}),
        }
    times = paired(runs, rounds, device)
    for title, values in times.items():
        rows[title]["seconds"] = values
    period = 4 if load.checkpointed else 8
    one_in = 1 if load.checkpointed else period  # with checkpoints a run is a whole optimizer step already
    result: dict[str, Any] = {"workload": name, "period": period, "contenders": rows, "ratios": {}}
    for prefix, (new, kept) in {"": OURS, "merged ": OURS_MERGED}.items():
        if new in times:
            ours = mixed(times[new], times[kept], one_in)
            pairs = {
                f"{prefix}new/LoRA": (times[new], times[LORA]),
                f"{prefix}kept{period}/LoRA": (ours, times[LORA]),
                f"{prefix}PEFT/new": (times[PEFT_DORA], times[new]),
                f"{prefix}PEFT/kept{period}": (times[PEFT_DORA], ours),
            }
            result["ratios"] |= {title: ratio(*pair) for title, pair in pairs.items()}
            peaks = (rows[n]["peak_transient_bytes"] for n in (PEFT_DORA, new))
            result["ratios"][f"{prefix}PEFT/ours peak"] = (next(peaks) / next(peaks), 0.0)
            extras = (rows[n]["kept_beyond_input_and_output_bytes"] for n in (new, PEFT_DORA))
            result["ratios"][f"{prefix}ours/PEFT kept"] = (next(extras) / max(1, next(extras)), 0.0)
    result["ratios"]["PEFT DoRA/PEFT LoRA"] = ratio(times[PEFT_DORA], times[PEFT_LORA])
    prefix = "merged " if load.merged else ""
    wanted = (*load.targets, ("ours/PEFT kept", "<=", 0.1)) if not load.dropout else load.targets
    result["verdicts"] = verdicts(result["ratios"], [(prefix + n, sign, bar) for n, sign, bar in wanted])
    return result


def error(racer: Contender, base: nn.Linear, x: Tensor, grad: Tensor) -> dict[str, float]:
    """Relative L2 error of output and gradients against the written equation in float64."""
    expected = exact(racer, base, x, grad)
    own = x.clone().requires_grad_()
    y = backward(racer, own, grad, False, racer.module)
    found = {"y": y, "x": own.grad, **{n: p.grad for n, p in racer.trained.items()}}
    return {name: relative(found[name], value) for name, value in expected.items()}


def decoding(device: torch.device, rounds: int, size: int, rank: int) -> dict[str, Any]:
    """One step of beam search with 5 beams through one layer, without gradients."""
    base = base_layer(size, size, device, torch.float32)
    plain = base_layer(size, size, device, torch.float32)
    racers = {r.name: r.module.eval() for r in contenders(base, rank, 0.0, merged=False)}
    x = torch.randn(5, size, generator=torch.Generator().manual_seed(3)).to(device)
    ours, unmerged = contenders(plain, rank, 0.0, merged=False)[4].module.eval(), racers[OURS[1]]
    ours.merge()
    modules = {
        "plain linear": base,
        "DoRA, ours, merged": ours,
        "DoRA, ours, unmerged": unmerged,
        LORA: racers[LORA],
        PEFT_LORA: racers[PEFT_LORA],
        PEFT_DORA: racers[PEFT_DORA],
    }

    def steps(module: nn.Module, times: int) -> None:
        with torch.no_grad():
            for _ in range(times):
                module(x)

    times = paired({name: partial(steps, m, 10) for name, m in modules.items()}, rounds, device)
    ratios = {f"{name}/plain": ratio(times[name], times["plain linear"]) for name in modules}
    return {
        "workload": "decode",
        "contenders": {name: {"seconds": [t / 10 for t in values]} for name, values in times.items()},
        "ratios": ratios,
        "verdicts": verdicts(ratios, [("DoRA, ours, merged/plain", "<=", 1.02)]),
    }


def model(
    name: str, layers: int, device: torch.device, rounds: int, sizes: tuple[int, int]
) -> dict[str, Any]:
    """Forward and backward of a whole BART of width 768 with random weights; q and v adapted."""
    batch, rank = sizes
    generator = torch.Generator().manual_seed(4)
    ids = torch.randint(4, 5000, (batch, 56), generator=generator).to(device)
    targets = ids[:, :20].contiguous()
    runs: dict[str, Callable[[], object]] = {}
    for title, network, own in bart(layers, rank, device, torch.float32):
        for kind in ("new norm", "kept norm") if own else ("",):

            def run(network: nn.Module = network, own: list = own if kind == "new norm" else []) -> None:
                for layer in own:
                    layer.refresh()
                network.zero_grad()
                network(input_ids=ids, labels=targets).loss.backward()

            runs[", ".join(filter(None, (title, kind)))] = run
    rows: dict[str, Any] = {
        title: {"peak_transient_bytes": peak_transient(run, device)} for title, run in runs.items()
    }
    times = paired(runs, rounds, device)
    for title, values in times.items():
        rows[title]["seconds"] = values
    ours = mixed(times[OURS[0]], times[OURS[1]], 8)
    ratios = {
        "new/LoRA": ratio(times[OURS[0]], times[LORA]),
        "kept8/LoRA": ratio(ours, times[LORA]),
        "PEFT/kept8": ratio(times[PEFT_DORA], ours),
        "PEFT DoRA/PEFT LoRA": ratio(times[PEFT_DORA], times[PEFT_LORA]),
    }
    return {"workload": name, "contenders": rows, "ratios": ratios, "verdicts": {}}


def verdicts(ratios: dict[str, tuple[float, float]], targets: list[tuple[str, str, float]]) -> dict[str, str]:
    """Target -> ok, MISSED, or ? where the spread is too wide to say."""
    found = {}
    for name, sign, bar in targets:
        value, spread = ratios[name]
        met = value <= bar if sign == "<=" else value >= bar
        found[f"{name} {sign} {bar:g}"] = "?" if spread > WIDEST_SPREAD else "ok" if met else "MISSED"
    return found


def table(result: dict[str, Any]) -> str:
    """One workload as Markdown."""
    lines = [
        f"### {result['workload']}",
        "| contender | ms (median) | kept MB | beyond x, y | held MB | peak MB | error y | worst gradient |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in result["contenders"].items():
        times = sorted(row["seconds"])
        errors = row.get("error", {})
        worst = max((v for n, v in errors.items() if n != "y"), default=None)
        cells = [
            name,
            f"{1e3 * times[len(times) // 2]:.4g}",
            *(
                _mb(row.get(k))
                for k in (
                    "kept_bytes",
                    "kept_beyond_input_and_output_bytes",
                    "held_bytes",
                    "peak_transient_bytes",
                )
            ),
            f"{errors['y']:.1e}" if errors else "-",
            f"{worst:.1e}" if worst is not None else "-",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    lines += [
        f"- {name}: {value:.3f} (spread {spread:.1%})" for name, (value, spread) in result["ratios"].items()
    ]
    lines += [f"- target {target}: **{verdict}**" for target, verdict in result["verdicts"].items()]
    return "\n".join(lines)


def _mb(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.1f}"


def machine(device: torch.device) -> dict[str, Any]:
    """Where the figures come from."""
    import peft

    processor = platform.processor() or platform.machine()
    cpu = next(
        (line.split(":")[1].strip() for line in _read("/proc/cpuinfo") if line.startswith("model name")),
        processor,
    )
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "peft": peft.__version__,
        "python": platform.python_version(),
    }


def _read(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*LINEAR, *BFLOAT, "decode", *MODELS]
    parser.add_argument("--workload", nargs="+", choices=names, help="default: all that fit the device")
    parser.add_argument("--runs", type=int, default=7, help="paired rounds, at least 2")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--out", type=Path, help="write all figures as JSON")
    options = parser.parse_args()
    if options.runs < 2:
        parser.error(f"--runs {options.runs} must be at least 2")
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch sees no CUDA device; use --device cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
    chosen = options.workload or [n for n in names if device.type == "cuda" or n not in BFLOAT]
    facts: dict[str, Any] = {"machine": machine(device), "runs": options.runs, "results": []}
    print(json.dumps(facts["machine"]))
    for name in chosen:
        if name in MODELS:
            sizes = (2, 4) if options.quick else (4, 128)
            result = model(name, 1 if options.quick else MODELS[name], device, options.runs, sizes)
        elif name == "decode":
            result = decoding(device, options.runs, *((32, 4) if options.quick else (4096, 128)))
        else:
            load = {**LINEAR, **BFLOAT}[name]
            if options.quick:
                load = replace(load, rows=48, columns=32, tokens=24, rank=4)
            result = linear(name, load, device, options.runs)
        facts["results"].append(result)
        print("\n" + table(result), flush=True)
        if options.out:
            options.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
