"""The console script: `vl-dora VERB [options]` is `python -m vl_dora.VERB [options]`.

Nothing heavy is imported before a verb is chosen, so `vl-dora --help` answers at once.
"""

from __future__ import annotations

import runpy
import sys

VERBS = {
    "train": "fine-tune a network and score it:  vl-dora train experiment=vqa",
    "evaluate": "score a finished run again:         vl-dora evaluate run=<run directory>",
    "ask": "ask a run about a picture:         vl-dora ask run=<run directory> image=… question=…",
    "export": "write an adapter or merged network: vl-dora export run=<run directory> to=peft",
    "convert": "read another project's adapter:     vl-dora convert from=LAST.pth out=<folder>",
    "score": "score files of predictions:         vl-dora score metric=gqa predictions=… references=…",
    "compare": "methods side by side, as a page:   vl-dora compare runs=<folder of a sweep>",
    "analyze": "how the tuned weights moved:       vl-dora analyze runs=<folder>",
    "preview": "check the data before training:     vl-dora preview experiment=vqa",
    "plan": "what a run would train and need:    vl-dora plan experiment=vqa device_memory=24GB",
}


def usage() -> str:
    """The verbs, a line each."""
    lines = [f"  {verb:<10}{line}" for verb, line in VERBS.items()]
    return "\n".join(
        ["usage: vl-dora VERB [options]", "", *lines, "", "vl-dora VERB --help lists its options."]
    )


def main() -> int:
    """Runs the verb named on the command line; the exit status is 2 for a verb that is none."""
    verb, *options = sys.argv[1:] or ["--help"]
    if verb in ("-h", "--help"):
        sys.stdout.write(usage() + "\n")
        return 0
    if verb not in VERBS:
        sys.stderr.write(f"vl-dora: '{verb}' is no verb; the verbs are {', '.join(VERBS)}\n")
        return 2
    sys.argv = [f"vl-dora {verb}", *options]
    runpy.run_module(f"vl_dora.{verb}", run_name="__main__", alter_sys=True)
    return 0
