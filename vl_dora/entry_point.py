"""How every verb starts: Hydra composes the config, a user's mistake ends in one sentence.

A mistake is a `ValueError` or `FileNotFoundError` of ours, or anything Hydra and OmegaConf say of a
config. Its traceback is shown with VL_DORA_TRACEBACK=1.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vl_dora.optuna_sweeper import register
from vl_dora.processes import handed_over
from vl_dora.run_directory import in_sweep

CONFIG_PACKAGE = "vl_dora.conf"
# Choices that come with a plugin of Hydra's, and the extra that brings it.
_EXTRAS = {"hydra/launcher/joblib": "joblib", "hydra/launcher/submitit": "submitit"}
MISTAKES = (ValueError, FileNotFoundError, HydraException, OmegaConfBaseException)


def launch(
    config_name: str,
    work: Callable[[DictConfig], Any],
    *,
    other: Callable[[list[str]], str | None] = lambda words: None,
) -> None:
    """Composes `config_name` with the command line's overrides and runs `work` on it.

    Exit status 1 after a user's mistake, with one line `error: ...` on standard error.

    Args:
        config_name: of a file in the config package.
        work: what to do with the config.
        other: the name of another config that the command line asks for, or None.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Hydra would print its own shortened traceback; ours is the one message.
    os.environ["HYDRA_FULL_ERROR"] = "1"

    failed: list[str] = []

    def guarded(config: DictConfig) -> Any:
        try:
            return work(config)
        except MISTAKES as error:
            if not in_sweep():
                _stop(error, config_name)
            # The other jobs of a sweep go on; it ends with all that failed.
            failed.append(explain(error, config_name))
            sys.stderr.write(f"error in job {HydraConfig.get().job.num}: {failed[-1]}\n")
            raise

    try:
        config_name = other(sys.argv[1:]) or config_name
    except MISTAKES as error:
        _stop(error, config_name)
    main = hydra.main(version_base="1.3", config_path=f"pkg://{CONFIG_PACKAGE}", config_name=config_name)
    try:
        handed = handed_over()
        if handed is not None:  # started by Lightning, beside the process that read the command line
            work(handed[0])
            return
        register(sys.argv[1:])
        main(guarded)()
    except MISTAKES as error:
        if failed and not os.environ.get("VL_DORA_TRACEBACK"):
            jobs = f"{len(failed)} job{'s' if len(failed) > 1 else ''} of the sweep failed"
            sys.stderr.write(f"error: {jobs}; the first: {failed[0]}\n")
            raise SystemExit(1) from None
        _stop(error, config_name)


def composed(config_name: str, overrides: list[str]) -> DictConfig:
    """A config as the command line with these overrides would make it, for use from Python."""
    with hydra.initialize_config_module(CONFIG_PACKAGE, version_base="1.3"):
        return hydra.compose(config_name, overrides)


def _stop(error: BaseException, config_name: str) -> None:
    if os.environ.get("VL_DORA_TRACEBACK"):
        raise error
    sys.stderr.write(f"error: {explain(error, config_name)}\n")
    raise SystemExit(1)


def explain(error: BaseException, config_name: str) -> str:
    """One line: what was given, what is allowed."""
    causes = list(_causes(error))
    ours = [cause for cause in causes if type(cause).__module__.split(".")[0] not in ("hydra", "omegaconf")]
    if ours:
        return " ".join(str(ours[0]).split())
    text = next((" ".join(str(c).split()) for c in causes if str(c).strip()), type(error).__name__)
    wrong = re.search(r"Could not override '([^']+)'", text)
    if wrong:
        return f"{wrong[1]} is not an option; {_siblings(config_name, wrong[1])}"
    missing = re.search(
        r"Could not find '([^']+)' Available options in '([^']+)': (.*?)(?: Config search|$)", text
    )
    if missing:
        group, _, name = missing[1].rpartition("/")
        extra = next((extra for word, extra in _EXTRAS.items() if missing[1].startswith(word)), None)
        if extra is not None:
            return f"{group}={name} needs a plugin; install it by pip install 'vl-dora[{extra}]'"
        options = ", ".join(word for word in missing[3].split() if not word.startswith("_"))
        return f"{group}={name} does not exist; allowed: {options}"
    unread = re.search(r"Error parsing override '(.*?)' (.*?)(?: See https|$)", text)
    if unread:
        return f"{unread[1]} cannot be read ({unread[2]}); options are written name=value"
    mandatory = re.search(r"[Mm]issing mandatory value: (\S+)", text)
    if mandatory:
        return f"{mandatory[1]} is not set; give {mandatory[1]}=<value> on the command line"
    return text


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _siblings(config_name: str, path: str) -> str:
    """What stands beside a misspelt option in the composed config."""
    overrides = [
        word for word in sys.argv[1:] if "=" in word and not word.lstrip("+~").startswith(f"{path}=")
    ]
    GlobalHydra.instance().clear()
    try:
        config = composed(config_name, [o for o in overrides if not o.startswith("hydra")])
    except MISTAKES:
        return "see --help for what there is"
    parent = path.rpartition(".")[0]
    while parent and not isinstance(OmegaConf.select(config, parent, throw_on_missing=False), DictConfig):
        parent = parent.rpartition(".")[0]
    node = OmegaConf.select(config, parent) if parent else config
    names = ", ".join(sorted(str(key) for key in node if not str(key).startswith("_")))
    return f"allowed {f'below {parent}' if parent else 'at the top'}: {names}"
