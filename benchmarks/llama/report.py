"""The page of results."""

from __future__ import annotations

from typing import Any

from language import CONTEXT


def page(found: dict[str, Any]) -> str:
    shares = sorted({row["removed"] for row in found["rows"]})
    lines = [
        "# A small Llama with 20 to 70 % of its decoder removed, without training",
        "",
        f"{found['date']}, {found['machine']}; seed {found['seed']}; made by `run.py`. Perplexity per character on the "
        f"last tenth of tinyshakespeare, every third window of {CONTEXT}; the whole network: {found['perplexity']}. "
        "Tokens a second: forward of 16 windows, medians; × against the whole network measured in the same turns "
        f"({found['tokens_per_second']:,} last). Calibration: {found['windows']} unlabelled windows of the training "
        "text.",
        "",
        "The network has more feed-forward units than it needs and has learned its training text a little by heart, so "
        "losing some of it may lower the perplexity below the original's: the divergence, mean KL(original ‖ smaller) "
        "per character, says how much of the network was lost. Of its 4 pairs of keys and values hardly one can go, "
        "which methods that cut every part alike pay for; hence the baselines that leave attention alone.",
        "",
        f"netsmith's curves, once for all shares, took {found['curves_seconds']:.0f} s, which is not in the seconds "
        "below; nor is repair where another row has the same plan. `from_pretrained` needs widths that one "
        "configuration can say: the same in every block, a hidden size that the number of heads divides, biases in all "
        "layers of a kind or none.",
        "",
        "| perplexity (divergence from the original, nats) | " + " | ".join(f"{s:.0%} removed" for s in shares) + " |",
        "|---|" + "---|" * len(shares),
    ]
    names = dict.fromkeys(row["method"] for row in found["rows"])
    by_key = {(row["method"], row["removed"]): row for row in found["rows"]}
    for name in names:
        cells = [f"{by_key[name, s]['perplexity']:.2f} ({by_key[name, s]['divergence']:.3f})" for s in shares]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "| removed | | decoder parameters | all parameters | MACs | tokens/s | seconds "
        "| cache = no cache | comes back by |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in found["rows"]:
        lines.append(
            f"| {r['removed']:.0%} | {r['method']} | {r['decoder_params_share']:.1%} | {r['params_share']:.1%} | "
            f"{r['macs_share']:.1%} | {r['tokens_per_second']:,} ({r['speed_up']:.2f}×) | {r['seconds']} | "
            f"{'yes' if r['cache_agrees'] else 'no'} | {r['reloads']} |"
        )
    return "\n".join(lines) + "\n"
