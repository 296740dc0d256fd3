"""``netsmith join``: trained models of one structure -> one network that computes all of them, or about all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .datasets import evaluation, open_batches, validation_of
from .finishing import keep, tell
from .members import MEMBERS, MemberSource, OpenMember, members_text, open_member, parse_members
from .models import ModelSource, OpenModel, open_model, state_digest
from .options import Debug, Eval, Input, Json, Mean, Out, Seed, Std, option, parse_shape
from .output import note
from .progress import stages
from .saved import read_source, refuse_occupied

if TYPE_CHECKING:
    from torch import nn

    from ..plans import Plan

STAGES = {
    "open": "opening the members",
    "join": "joining, and comparing outputs",
    "zip": "folding units that are alike",
    "verify": "verifying",
    "measure": "measuring",
}
MEMBERS_HELP = (
    "[NAME=]MODEL@FILE with weights, or [NAME=]DIR that another command wrote: as for ensemble; all of one structure."
)
WEIGHTS_HELP = "Weight of each member in the mean, in order, e.g. 1,2. Default: all the same."
ZIP_HELP = "Fold the joined network back to the width of one member, merging units that are alike on --data."
DATA_HELP = "With --zip: unlabelled data of all that the members were trained for, as for shrink."
UNTIL_HELP = "With --zip: the last module to fold; what comes behind it stays joined."
REPAIR_HELP = "With --zip: compensate (fit every layer to the joined network), statistics (as ZipIt does) or none."


def join(
    members: Annotated[list[str], typer.Argument(help=MEMBERS_HELP, metavar="MEMBER...", show_default=False)],
    out_dir: Out,
    shares: Annotated[str | None, option(WEIGHTS_HELP, "NUMBERS")] = None,
    zip: Annotated[bool, typer.Option("--zip", help=ZIP_HELP)] = False,
    data: Annotated[str | None, option(DATA_HELP, "DATA")] = None,
    until: Annotated[str | None, option(UNTIL_HELP, "MODULE")] = None,
    repair: Annotated[str, typer.Option(help=REPAIR_HELP, metavar="HOW")] = "compensate",
    evaluate_on: Eval = None,
    input: Input = None,
    mean: Mean = None,
    std: Std = None,
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Make one network of several trained ones of one structure: wider and exact, or zipped to the old width."""
    if zip and data is None:
        raise InputError("--zip merges units that are alike on data; give --data")
    if not zip and (data is not None or until is not None):
        raise InputError("--data and --until say how to zip; give --zip too")
    if len(members) < 2:
        raise InputError("give at least two members to join")
    numbers = parse_shares(shares, len(members))
    refuse_occupied(out_dir)
    sources = parse_members(members, parse_shape(input), seed)
    # Only now torch is loaded: what is wrong with the options themselves is said at once.
    from ..checks import verify
    from ..combining import join as join_models
    from ..combining import zip_models
    from ..recipes import Result
    from ..recipes.steps import measured_steps

    with stages(STAGES) as progress:
        progress("open", 0, 1)
        opened = {name: open_member(member) for name, member in sources.items()}
        for name, member in sources.items():
            if member.folder is None and member.source.brings_no_weights:
                note(f"{name} has random weights; give trained ones: {member.source.model}@FILE")
        models, x = [each.model for each in opened.values()], next(iter(opened.values())).example_inputs
        measured = evaluate_on or (validation_of(data) if data is not None else None)
        evaluate = None if measured is None else evaluation(OpenModel(models[0], x), measured, mean, std)
        progress("zip" if zip else "join", 0, 1)
        shown: dict[str, nn.Module] = {name: each.model for name, each in opened.items()}
        told: dict[str, Any]
        if zip:
            batches = open_batches(data or "", x, mean=mean, std=std, shuffle=True, seed=seed)
            zipped = zip_models(models, x, batches, weights=numbers, until=until, repair=repair, seed=seed)
            model, plan, error = zipped.model, zipped.plan, zipped.joined.error
            shown |= {"joined": zipped.joined.model, "zipped": model}
            told = {"left": dict(zipped.left), "across": dict(zipped.across)}
        else:
            joined = join_models(models, x, weights=numbers)
            model, plan, error = joined.model, joined.plan, joined.error
            shown["joined"] = model
            told = {"left": dict(plan.left)}
        progress("verify", 0, 1)
        original, source, plan = _original(next(iter(sources.values())), next(iter(opened.values())), plan)
        verdict = verify(original, model, plan, x)
        progress("measure", 0, 1)
        steps = measured_steps(shown, x, evaluate)
    result = Result(model, plan, verdict, steps)
    beside = {MEMBERS: members_text(sources)}
    whole = OpenModel(original, x)
    keep(result, out_dir, source, state_digest(original), whole, evaluate, start=models[0], beside=beside)
    told |= {"members": list(sources), "error": error}
    above = [f"joined: the mean of {len(models)} members' outputs, within {error:.1e} of the largest"]
    above += [f"{name}  stays joined: {why}" for name, why in told["left"].items()] if zip else []
    tell(", ".join(sources), out_dir, steps, verdict, as_json=json, told=told, above=above)


def parse_shares(text: str | None, count: int) -> list[float] | None:
    """``"1,2"`` -> [1.0, 2.0].

    Raises:
        InputError: no numbers, or not one a member.
    """
    if text is None:
        return None
    try:
        numbers = [float(each) for each in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise InputError(f"--shares {text!r}: write one number for each of the {count} members, e.g. 1,2")
    return numbers


def _original(member: MemberSource, opened: OpenMember, plan: Plan) -> tuple[nn.Module, ModelSource, Plan]:
    """What the first member was made from, how that is built, and the plan that leads from there."""
    if member.folder is None or opened.plan is None:
        return opened.model, member.source, plan
    source, _ = read_source(member.folder, model=member.source.model, weights=None)
    return open_model(source).model, source, plan.after(opened.plan)
