"""Whether a checkpoint's numbers are the network's: weights may fit and be computed with otherwise."""

from __future__ import annotations

from typing import Any

# What the shapes of the weights do not tell, or tell only in many words.
_TEXT = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "rms_norm_eps",
    "hidden_act",
    "rope_parameters",
    "attention_bias",
    "mlp_bias",
)
_VISION = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "image_size",
    "patch_size",
    "hidden_act",
    "layer_norm_eps",
)
_ABOUT_BOTH = (
    "vision_feature_layer",
    "vision_feature_select_strategy",
    "projector_hidden_act",
    "multimodal_projector_bias",
)


def check_language(source: str, there: Any, network: Any) -> None:
    """Compares transformers' LlamaConfig of a checkpoint with that of a `Llava`.

    Args:
        source: of the checkpoint, for the message.
        there: its config.
        network: with the attribute `llava`.

    Raises:
        ValueError: they differ; it names the options that make the network fit.
    """
    _check(source, _differing(there, network.llava.config.text_config, _TEXT, "text."))


def check_tower(source: str, there: Any, network: Any) -> None:
    """As `check_language`, of transformers' CLIPVisionConfig."""
    _check(source, _differing(there, network.llava.config.vision_config, _VISION, "vision."))


def check_llava(source: str, there: Any, network: Any) -> None:
    """As `check_language`, of a whole LlavaConfig."""
    here = network.llava.config
    _check(
        source,
        _differing(there.text_config, here.text_config, _TEXT, "text.")
        | _differing(there.vision_config, here.vision_config, _VISION, "vision.")
        | _differing(there, here, _ABOUT_BOTH, ""),
    )


def _differing(there: Any, here: Any, names: tuple[str, ...], prefix: str) -> dict[str, tuple[Any, Any]]:
    """Option below model.network -> (value there, value here)."""
    found = {name: (getattr(there, name, None), getattr(here, name, None)) for name in names}
    return {prefix + name: pair for name, pair in found.items() if pair[0] != pair[1]}


def _check(source: str, differing: dict[str, tuple[Any, Any]]) -> None:
    if differing:
        told = ", ".join(f"{name} {a!r} where the network has {b!r}" for name, (a, b) in differing.items())
        raise ValueError(
            f"model.base={source} is of another network: {told}; set "
            f"{' '.join(f'model.network.{name}=...' for name in differing)} to its values, or choose the "
            "model that it is of"
        )
