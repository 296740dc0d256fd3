"""The list of commands."""

from __future__ import annotations

import sys

import typer

from .. import __version__
from .cut import cut
from .demo import demo
from .distil import distil
from .ensemble import ensemble
from .export import export
from .finetune import finetune
from .group import INTERNAL, Commands, complain
from .grow import grow
from .init import init
from .inspect import inspect
from .join import join
from .measure import measure
from .merge import merge
from .merge_models import merge_models
from .options import Debug
from .plan import plan
from .quantize import quantize
from .regularize import regularize
from .report import report
from .run import run
from .search import search
from .shrink import shrink
from .sparsify import sparsify
from .verify import verify

app = typer.Typer(
    name="netsmith",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        print(f"netsmith {__version__}")
        raise typer.Exit


@app.callback(epilog="Example:  netsmith demo")
def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and leave."
    ),
    debug: Debug = False,
) -> None:
    """Change the structure of trained PyTorch networks, and prove that the result still works."""


app.command(epilog="Example:  netsmith demo --out out/demo")(demo)
app.command(epilog="Example:  netsmith inspect torchvision:resnet18")(inspect)
app.command(
    epilog="Example:  netsmith shrink netsmith.zoo:digits_resnet --weights digits.safetensors --input 1,1,8,8 "
    "--budget macs=50% --data digits --out out/small"
)(shrink)
app.command(
    epilog="Example:  netsmith search netsmith.zoo:digits_resnet --weights digits.safetensors --input 1,1,8,8 "
    "--budget macs=50% --budget macs=25% --data digits --heal 2 --out out/search"
)(search)
app.command(
    epilog="Example:  netsmith cut netsmith.zoo:digits_resnet --weights digits.safetensors --input 1,1,8,8 "
    "--blocks 2 --data digits --out out/cut"
)(cut)
app.command(
    epilog="Example:  netsmith grow netsmith.zoo:digits_resnet --weights digits.safetensors --input 1,1,8,8 "
    "--widen '*=1.5' --deepen 2 --out out/large"
)(grow)
app.command(
    epilog="Example:  netsmith sparsify netsmith.zoo:digits_resnet --weights digits.safetensors --input 1,1,8,8 "
    "--share 0.5 --data digits --out out/sparse"
)(sparsify)
app.command(
    epilog="Example:  netsmith quantize netsmith.zoo:digits_resnet --weights digits.safetensors --input 1,1,8,8 "
    "--scheme int8 --out out/int8"
)(quantize)
app.command(epilog="Example:  netsmith finetune out/small --data digits --epochs 5 --out out/tuned")(finetune)
app.command(epilog="Example:  netsmith distil out/small --data digits --epochs 5 --out out/healed")(distil)
app.command(
    epilog="Example:  netsmith regularize out/trained --data digits --penalty growing --budget macs=50% --rise 0.02 "
    "--epochs 8 --lr 0.05 --out out/half"
)(regularize)
app.command(epilog="Example:  netsmith merge-models recipe.yaml --out out/merged")(merge_models)
app.command(
    epilog="Example:  netsmith merge netsmith.zoo:digits_resnet --weights digits.safetensors --input 1,1,8,8 "
    "--out out/merged"
)(merge)
app.command(
    epilog="Example:  netsmith ensemble small=out/small large=netsmith.zoo:digits_resnet@digits.safetensors "
    "--kind cascade --target-cost 50% --data digits:validation --eval digits:test --input 1,1,8,8 --out out/both"
)(ensemble)
app.command(epilog="Example:  netsmith run recipe.yaml --out out/run")(run)
app.command(epilog="Example:  netsmith init torchvision:resnet18 --data imagefolder:photos --out recipe.yaml")(init)
app.command(epilog="Example:  netsmith plan recipe.yaml")(plan)
app.command(
    epilog="Example:  netsmith join netsmith.zoo:digits_resnet@first.safetensors "
    "second=netsmith.zoo:digits_resnet@second.safetensors --input 1,1,8,8 --zip --data digits --out out/one"
)(join)
app.command(epilog="Example:  netsmith verify out/small")(verify)
app.command(epilog="Example:  netsmith report out/small --open")(report)
app.command(epilog="Example:  netsmith export out/small --to openvino --out out/openvino")(export)
app.command(epilog="Example:  netsmith measure torchvision:mobilenet_v2 --json")(measure)


def main() -> None:
    """The console script ``netsmith``."""
    try:
        app()
    except Exception as error:  # a defect of ours, or an error of the model's own code that no room expected
        if "--debug" in sys.argv:
            raise
        complain(f"{type(error).__name__}: {error}\nThis was not expected; --debug shows where it came from.")
        sys.exit(INTERNAL)
